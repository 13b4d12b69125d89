"""Items, shards and reservations: an order reserves all its items, or none."""

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from contract.tickets import CartItem
from sagakit.codec import Stored
from sagakit.errors import FailedPrecondition

RESERVED = "reserved"
REFUSED = "refused"
SOLD = "sold"
RELEASED = "released"
STATUSES = frozenset({RESERVED, REFUSED, SOLD, RELEASED})
"""The statuses of a reservation that this version knows."""

MAX_SHARDS = 8


@dataclass(frozen=True, slots=True)
class Item(Stored):
    """An item for sale. Its units are in its shards: at all times `stock` is their sum."""

    itemid: str
    price: int
    """Of one unit, in minor units of the currency."""
    stock: int
    """Units ever added."""
    waives_payment: bool = False
    """An order that contains it is not charged."""
    shards: int = 1
    """Number of shards, so that concurrent orders rarely conflict. It only grows."""


@dataclass(frozen=True, slots=True)
class Shard(Stored):
    """A part of an item's units."""

    available: int = 0
    reserved: int = 0
    sold: int = 0

    def __add__(self, other: "Shard") -> "Shard":
        return Shard(self.available + other.available, self.reserved + other.reserved, self.sold + other.sold)


@dataclass(frozen=True, slots=True)
class ItemList(Stored):
    """The ids of all items, sorted."""

    itemids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StockLevel:
    """An item with the sum of its shards."""

    item: Item
    units: Shard


Shards = Mapping[str, Mapping[int, Shard]]
"""The shards that were read, by itemid and number."""


@dataclass(frozen=True, slots=True)
class Allocation(Stored):
    """Units of one shard that are reserved for an order."""

    itemid: str
    shard: int
    count: int


@dataclass(frozen=True, slots=True)
class Reservation(Stored):
    """The decision about an order; rejections are stored too."""

    orderid: str
    status: str
    items: tuple[CartItem, ...]
    allocations: tuple[Allocation, ...] = ()
    amount: int | None = None
    """Price at the time of the decision, in minor units; None if nothing was reserved."""
    waives_payment: bool = False
    reason: str | None = None
    """Why the order was rejected."""
    time: float = field(kw_only=True)
    """Time of the decision (seconds since the epoch)."""
    settled_time: float | None = None
    """Time of the sale or release (seconds since the epoch)."""
    reminders_sent: int = 0
    """Number of reminders since the decision."""
    owner_digest: str | None = None


def home_shard(orderid: str, shards: int) -> int:
    """Return the shard an order tries first; orders spread evenly over the shards."""
    return zlib.crc32(orderid.encode()) % shards


def shortages(
    orderid: str, wanted: Iterable[CartItem], items: Mapping[str, Item], shards: Shards
) -> list[str]:
    """Return the itemids whose shards read so far do not have enough units."""
    allocations = _allocations(orderid, _counts(wanted), items, shards)
    return [itemid for itemid, allocated in allocations.items() if not allocated]


def reserve(
    orderid: str, wanted: Iterable[CartItem], items: Mapping[str, Item], shards: Shards, now: float
) -> Reservation:
    """Decide about an order: reserve all of it, or nothing. `shards` has every shard of a scarce item."""
    counts = _counts(wanted)
    bought = tuple(CartItem(itemid, count) for itemid, count in counts.items())
    allocations = _allocations(orderid, counts, items, shards)
    reason = _rejection(counts, allocations)
    if reason is not None:
        return refused(orderid, bought, reason, now)
    return Reservation(
        orderid,
        RESERVED,
        bought,
        time=now,
        allocations=tuple(each for itemid in counts for each in allocations[itemid]),
        amount=sum(items[itemid].price * count for itemid, count in counts.items()),
        waives_payment=any(items[itemid].waives_payment for itemid in counts),
    )


def refused(orderid: str, wanted: Iterable[CartItem], reason: str, now: float) -> Reservation:
    """Return the rejection of an order."""
    return Reservation(orderid, REFUSED, tuple(wanted), reason=reason, time=now)


def settled(reservation: Reservation, status: str, now: float) -> Reservation:
    """Return the reservation as sold or released; from then on it triggers no reply."""
    return replace(reservation, status=status, settled_time=now)


def with_reminder(reservation: Reservation) -> Reservation:
    """Return the reservation with one more reminder sent."""
    return replace(reservation, reminders_sent=reservation.reminders_sent + 1)


def tombstone(orderid: str, now: float, owner_digest: str | None = None) -> Reservation:
    """Return the record of a cancellation that overtook its order: the late order will reserve nothing."""
    return Reservation(orderid, RELEASED, (), time=now, owner_digest=owner_digest)


def _counts(wanted: Iterable[CartItem]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for each in wanted:
        counts[each.itemid] += each.count
    return counts


def _allocations(
    orderid: str, counts: Mapping[str, int], items: Mapping[str, Item], shards: Shards
) -> dict[str, list[Allocation]]:
    return {
        itemid: _allocate(itemid, count, home_shard(orderid, items[itemid].shards), shards[itemid])
        for itemid, count in counts.items()
        if itemid in items
    }


def _allocate(itemid: str, count: int, home: int, shards: Mapping[int, Shard]) -> list[Allocation]:
    """Allocate `count` units from one shard, the home shard first; from several if no shard has enough."""
    in_turn = sorted(shards, key=lambda number: (number - home) % MAX_SHARDS)
    for number in in_turn:
        if shards[number].available >= count:
            return [Allocation(itemid, number, count)]
    allocated = []
    # The fullest first: each further shard is one more entity in the transaction.
    for number in sorted(in_turn, key=lambda number: -shards[number].available):
        part = min(count, shards[number].available)
        count -= part
        allocated += [Allocation(itemid, number, part)] if part else []
    return [] if count else allocated


def _rejection(counts: Mapping[str, int], allocations: Mapping[str, list[Allocation]]) -> str | None:
    if not counts:
        return "no-items"
    for itemid in counts:
        if itemid not in allocations:
            return f"unknown-item: {itemid}"
        if not allocations[itemid]:
            return f"sold-out: {itemid}"
    return None


def reserved(shard: Shard, count: int) -> Shard:
    """Return the shard after `count` units were reserved."""
    return replace(shard, available=shard.available - count, reserved=shard.reserved + count)


def sold(shard: Shard, count: int) -> Shard:
    """Return the shard after `count` reserved units were sold."""
    return replace(shard, reserved=shard.reserved - count, sold=shard.sold + count)


def released(shard: Shard, count: int) -> Shard:
    """Return the shard after `count` reserved units were released."""
    return reserved(shard, -count)


def put(before: Item | None, shards: Mapping[int, Shard], item: Item) -> dict[int, Shard]:
    """Return the changed shards of `item`: available units are spread evenly, others stay in their shard.

    Raises FailedPrecondition if more units are reserved or sold than its stock, or if it loses shards.
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
        raise FailedPrecondition("stock-below-taken", f"{taken} units of {item.itemid} are reserved or sold")
    each, rest = divmod(item.stock - taken, item.shards)
    return {
        number: replace(shards.get(number, Shard()), available=each + (number < rest))
        for number in range(item.shards)
    }


def stocked(item: Item, shards: Mapping[int, Shard]) -> StockLevel:
    """Return the item with the sum of `shards`."""
    return StockLevel(item, sum(shards.values(), Shard()))
