"""Items and reservations: an order gets every piece it asks for, or none."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from contract.tickets import CartItem
from sagakit.errors import NotAllowed

RESERVED = "reserved"
REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Item:
    """Something for sale. At all times stock = available + reserved + sold."""

    itemid: str
    price: int
    """For one piece, in minor units."""
    stock: int
    """Pieces ever put in."""
    waives_payment: bool = False
    """An order that contains it is not charged."""
    reserved: int = 0
    sold: int = 0

    @property
    def available(self) -> int:
        return self.stock - self.reserved - self.sold


@dataclass(frozen=True, slots=True)
class Reservation:
    """What was decided about an order; remembered, refusals too."""

    orderid: str
    status: str
    items: tuple[CartItem, ...]
    amount: int | None = None
    """The price of it all as it was then; None where refused."""
    waives_payment: bool = False
    reason: str | None = None
    """Why it was refused."""


def reserve(
    orderid: str, wanted: Iterable[CartItem], known: Mapping[str, Item]
) -> tuple[Reservation, dict[str, Item]]:
    """The decision about an order, and the items it changes: all that are wanted, or none."""
    counts: Counter[str] = Counter()
    for each in wanted:
        counts[each.itemid] += each.count
    items = tuple(CartItem(itemid, count) for itemid, count in counts.items())
    reason = _refusal(counts, known)
    if reason is not None:
        return Reservation(orderid, REFUSED, items, reason=reason), {}
    changed = {
        itemid: replace(known[itemid], reserved=known[itemid].reserved + count)
        for itemid, count in counts.items()
    }
    amount = sum(known[itemid].price * count for itemid, count in counts.items())
    waives_payment = any(item.waives_payment for item in changed.values())
    return Reservation(orderid, RESERVED, items, amount, waives_payment), changed


def put(before: Item | None, itemid: str, price: int, stock: int, waives_payment: bool) -> Item:
    """The item with price, stock and waiver as given; stock cannot go below what orders have of it."""
    item = before or Item(itemid, price, stock)
    taken = item.reserved + item.sold
    if stock < taken:
        raise NotAllowed("stock-below-taken", f"{taken} pieces of {itemid} are reserved or sold")
    return replace(item, price=price, stock=stock, waives_payment=waives_payment)


def _refusal(counts: Mapping[str, int], known: Mapping[str, Item]) -> str | None:
    if not counts:
        return "no-items"
    for itemid, count in counts.items():
        if itemid not in known:
            return f"unknown-item: {itemid}"
        if known[itemid].available < count:
            return f"sold-out: {itemid}"
    return None
