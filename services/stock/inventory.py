"""Items and reservations: an order gets every piece it asks for, or none."""

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from contract.tickets import CartItem
from sagakit.errors import FailedPrecondition

RESERVED = "reserved"
REFUSED = "refused"
SOLD = "sold"
RELEASED = "released"

MAX_SHARDS = 8


@dataclass(frozen=True, slots=True)
class Item:
    """Something for sale. Its pieces are in its shards: at all times `stock` is what they add up to."""

    itemid: str
    price: int
    """For one piece, in minor units."""
    stock: int
    """Pieces ever put in."""
    waives_payment: bool = False
    """An order that contains it is not charged."""
    shards: int = 1
    """Into how many parts its pieces are split, so that orders for it rarely meet. It only grows."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of an item's units."""

    available: int = 0
    reserved: int = 0
    sold: int = 0

    def __add__(self, other: "Shard") -> "Shard":
        return Shard(self.available + other.available, self.reserved + other.reserved, self.sold + other.sold)


@dataclass(frozen=True, slots=True)
class StockLevel:
    """An item with all its units."""

    item: Item
    units: Shard


Shards = Mapping[str, Mapping[int, Shard]]
"""Those that were looked at, by itemid and number."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """Pieces that one shard has given to an order."""

    itemid: str
    shard: int
    count: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """What was decided about an order; remembered, refusals too."""

    orderid: str
    status: str
    items: tuple[CartItem, ...]
    time: float
    """When it was decided (seconds since the epoch)."""
    taken: tuple[Allocation, ...] = ()
    amount: int | None = None
    """The price of it all as it was then; None where nothing was reserved."""
    waives_payment: bool = False
    reason: str | None = None
    """Why it was refused."""
    settled_time: float | None = None
    """When what was reserved was sold or released."""
    reminders_sent: int = 0
    """How often the answer was repeated since it was given."""


def home_shard(orderid: str, shards: int) -> int:
    """The shard an order turns to first."""
    return zlib.crc32(orderid.encode()) % shards


def shortages(
    orderid: str, wanted: Iterable[CartItem], items: Mapping[str, Item], shards: Shards
) -> list[str]:
    """The itemids of which the shards that were looked at do not suffice."""
    offers = _offers(orderid, _counts(wanted), items, shards)
    return [itemid for itemid, offer in offers.items() if not offer]


def reserve(
    orderid: str, wanted: Iterable[CartItem], items: Mapping[str, Item], shards: Shards, now: float
) -> Reservation:
    """The decision about an order: all that is wanted, or none. Of what is short, all shards are given."""
    counts = _counts(wanted)
    bought = tuple(CartItem(itemid, count) for itemid, count in counts.items())
    offers = _offers(orderid, counts, items, shards)
    reason = _refusal(counts, offers)
    if reason is not None:
        return Reservation(orderid, REFUSED, bought, now, reason=reason)
    return Reservation(
        orderid,
        RESERVED,
        bought,
        now,
        taken=tuple(taken for itemid in counts for taken in offers[itemid]),
        amount=sum(items[itemid].price * count for itemid, count in counts.items()),
        waives_payment=any(items[itemid].waives_payment for itemid in counts),
    )


def settled(reservation: Reservation, status: str, now: float) -> Reservation:
    """The reservation, sold or released: it answers nothing from now on."""
    return replace(reservation, status=status, settled_time=now)


def with_reminder(reservation: Reservation) -> Reservation:
    """The reservation, after its answer was given once more."""
    return replace(reservation, reminders_sent=reservation.reminders_sent + 1)


def tombstone(orderid: str, now: float) -> Reservation:
    """What is left of a cancellation that overtook its order: the order will take nothing."""
    return Reservation(orderid, RELEASED, (), now)


def _counts(wanted: Iterable[CartItem]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for each in wanted:
        counts[each.itemid] += each.count
    return counts


def _offers(
    orderid: str, counts: Mapping[str, int], items: Mapping[str, Item], shards: Shards
) -> dict[str, list[Allocation]]:
    return {
        itemid: _offer(itemid, count, home_shard(orderid, items[itemid].shards), shards[itemid])
        for itemid, count in counts.items()
        if itemid in items
    }


def _offer(itemid: str, count: int, home: int, shards: Mapping[int, Shard]) -> list[Allocation]:
    """`count` pieces of one shard, the home shard before others; of several where none has so many."""
    in_turn = sorted(shards, key=lambda number: (number - home) % MAX_SHARDS)
    for number in in_turn:
        if shards[number].available >= count:
            return [Allocation(itemid, number, count)]
    offer = []
    for number in in_turn:
        given = min(count, shards[number].available)
        count -= given
        offer += [Allocation(itemid, number, given)] if given else []
    return [] if count else offer


def _refusal(counts: Mapping[str, int], offers: Mapping[str, list[Allocation]]) -> str | None:
    if not counts:
        return "no-items"
    for itemid in counts:
        if itemid not in offers:
            return f"unknown-item: {itemid}"
        if not offers[itemid]:
            return f"sold-out: {itemid}"
    return None


def reserved(shard: Shard, count: int) -> Shard:
    """The shard after it gave so many pieces to an order."""
    return replace(shard, available=shard.available - count, reserved=shard.reserved + count)


def sold(shard: Shard, count: int) -> Shard:
    """… after pieces it had given were sold."""
    return replace(shard, reserved=shard.reserved - count, sold=shard.sold + count)


def released(shard: Shard, count: int) -> Shard:
    """… after it got back pieces it had given."""
    return reserved(shard, -count)


def put(before: Item | None, shards: Mapping[int, Shard], item: Item) -> dict[int, Shard]:
    """The shards of `item` as it is to be: what orders have stays where it is, the rest is spread evenly.

    FailedPrecondition where orders have more than its stock, or there are to be fewer shards than before.
    """
    if before is not None and item.shards < before.shards:
        raise FailedPrecondition(
            "shards-only-grow", f"{item.itemid} is split into {before.shards} shards already"
        )
    if before is not None and (item.stock, item.shards) == (before.stock, before.shards):
        return {}
    units = stocked(item, shards).units
    taken = units.reserved + units.sold
    if item.stock < taken:
        raise FailedPrecondition("stock-below-taken", f"{taken} pieces of {item.itemid} are reserved or sold")
    each, rest = divmod(item.stock - taken, item.shards)
    return {
        number: replace(shards.get(number, Shard()), available=each + (number < rest))
        for number in range(item.shards)
    }


def stocked(item: Item, shards: Mapping[int, Shard]) -> StockLevel:
    return StockLevel(item, sum(shards.values(), Shard()))
