"""The audit: whether all books agree once nothing is going on, and where they do not, whose fault it is."""

from collections import Counter
from collections.abc import Iterator

from contract.tickets import APPROVED, FAILED, OPEN
from sagactl.inspect.records import Order, Records, load_records
from services.payment.charge import CHARGED, SETTLED
from services.stock.inventory import RESERVED, SOLD, Shard

__all__ = ["figures", "load_records", "problems"]


def problems(records: Records) -> list[str]:
    """What does not balance, a line each, naming the order or the item; empty: everything does."""
    return [
        *_of_items(records),
        *(
            f"order {orderid}: {what}"
            for orderid in records.orders
            for what in _of_order(records.orders[orderid])
        ),
        *_of_money(records),
        *(f"outbox of {service}: {rows} events wait" for service, rows in records.outboxes.items() if rows),
    ]


def figures(records: Records) -> list[str]:
    """What there is, a line each."""
    statuses = Counter(order.ticket for order in records.orders.values() if order.ticket is not None)
    charged, refunded, approved = _sums(records)
    return [
        f"orders: {sum(statuses.values())}",
        *(f"  {status}: {count}" for status, count in sorted(statuses.items())),
        *(f"item {itemid}: {_in_words(records, itemid)}" for itemid in sorted(records.items)),
        f"charged {charged} - refunded {refunded} = {charged - refunded}; approved for payment: {approved}",
        f"outboxes: {sum(records.outboxes.values())} events wait",
    ]


def _of_items(records: Records) -> Iterator[str]:
    for itemid, item in records.items.items():
        whole = _whole(records, itemid)
        there = whole.available + whole.reserved + whole.sold
        if there != item.stock:
            yield f"item {itemid}: {item.stock} pieces were put in, {there} are accounted for"
    for itemid in dict.fromkeys(itemid for itemid, _ in records.shards if itemid not in records.items):
        yield f"item {itemid}: it has shards, and is not there itself"
    # Those that gave pieces to orders among them, even where they are not there.
    for itemid, number in dict.fromkeys([*records.shards, *(where[:2] for where in records.allocated)]):
        yield from _of_shard(records, itemid, number)


def _of_shard(records: Records, itemid: str, number: int) -> Iterator[str]:
    shard = records.shards.get((itemid, number), Shard())
    for status, pieces in ((RESERVED, shard.reserved), (SOLD, shard.sold)):
        ordered = records.allocated[itemid, number, status]
        if pieces != ordered:
            yield f"item {itemid}: shard {number} has {pieces} pieces {status}, orders have {ordered}"
    if min(shard.available, shard.reserved, shard.sold) < 0:
        yield f"item {itemid}: shard {number} has less than nothing"


def _of_order(order: Order) -> Iterator[str]:
    if order.ticket is None:
        yield "there is no ticket for it"
    if order.ticket in OPEN:
        yield f"its ticket is still {order.ticket}"
    elif order.waits:
        yield f"its ticket is {order.ticket} and waits for an answer"
    if order.reservation == RESERVED:
        yield "its reservation is neither sold nor released"
    if order.payment == CHARGED:
        yield "its charge is neither settled nor given back"
    if order.ticket == APPROVED:
        yield from _of_approved(order)
    elif order.ticket in FAILED:
        yield from _of_failed(order)


def _of_approved(order: Order) -> Iterator[str]:
    if order.reservation not in {SOLD, RESERVED}:
        yield f"it is approved, and its reservation {order.reservation}"
    if not order.delivered:
        yield "it is approved, and not delivered"
    kept, due = order.charged - order.refunded, order.amount or 0
    if kept != due:
        yield f"it is approved for {due}, and {kept} was charged"


def _of_failed(order: Order) -> Iterator[str]:
    if order.reservation == SOLD:
        yield f"it is {order.ticket}, and sold"
    if order.payment == SETTLED:
        yield f"it is {order.ticket}, and its charge settled"
    if order.charged != order.refunded:
        yield f"it is {order.ticket}, and {order.charged - order.refunded} was charged"
    if order.delivered:
        yield f"it is {order.ticket}, and delivered"


def _of_money(records: Records) -> Iterator[str]:
    charged, refunded, approved = _sums(records)
    if charged - refunded != approved:
        yield f"{charged - refunded} was charged for approved orders of {approved}"


def _sums(records: Records) -> tuple[int, int, int]:
    orders = records.orders.values()
    approved = sum(order.amount or 0 for order in orders if order.ticket == APPROVED)
    return sum(order.charged for order in orders), sum(order.refunded for order in orders), approved


def _whole(records: Records, itemid: str) -> Shard:
    return sum((shard for (name, _), shard in records.shards.items() if name == itemid), Shard())


def _in_words(records: Records, itemid: str) -> str:
    pieces = _whole(records, itemid)
    stock = records.items[itemid].stock
    return f"{stock} put in; {pieces.available} available, {pieces.reserved} reserved, {pieces.sold} sold"
