"""The audit: whether all books agree once nothing is going on, and where they do not, whose fault it is."""

from collections import Counter
from collections.abc import Iterator

from contract.tickets import APPROVED, FAILED, OPEN
from sagactl.inspect.records import Books, Order, read_books
from services.payment.charge import CHARGED, SETTLED
from services.stock.inventory import RESERVED, SOLD, Shard

__all__ = ["figures", "problems", "read_books"]


def problems(books: Books) -> list[str]:
    """What does not balance, a line each, naming the order or the item; empty: everything does."""
    return [
        *_of_items(books),
        *(
            f"order {orderid}: {what}"
            for orderid in books.orders
            for what in _of_order(books.orders[orderid])
        ),
        *_of_money(books),
        *(f"outbox of {service}: {rows} events wait" for service, rows in books.outboxes.items() if rows),
    ]


def figures(books: Books) -> list[str]:
    """What there is, a line each."""
    statuses = Counter(order.ticket for order in books.orders.values() if order.ticket is not None)
    charged, refunded, approved = _sums(books)
    return [
        f"orders: {sum(statuses.values())}",
        *(f"  {status}: {count}" for status, count in sorted(statuses.items())),
        *(f"item {itemid}: {_in_words(books, itemid)}" for itemid in sorted(books.items)),
        f"charged {charged} - refunded {refunded} = {charged - refunded}; approved for payment: {approved}",
        f"outboxes: {sum(books.outboxes.values())} events wait",
    ]


def _of_items(books: Books) -> Iterator[str]:
    for itemid, item in books.items.items():
        whole = _whole(books, itemid)
        there = whole.available + whole.reserved + whole.sold
        if there != item.stock:
            yield f"item {itemid}: {item.stock} pieces were put in, {there} are accounted for"
    for itemid in dict.fromkeys(itemid for itemid, _ in books.shards if itemid not in books.items):
        yield f"item {itemid}: it has shards, and is not there itself"
    # Those that gave pieces to orders among them, even where they are not there.
    for itemid, number in dict.fromkeys([*books.shards, *(where[:2] for where in books.taken)]):
        yield from _of_shard(books, itemid, number)


def _of_shard(books: Books, itemid: str, number: int) -> Iterator[str]:
    shard = books.shards.get((itemid, number), Shard())
    for status, pieces in ((RESERVED, shard.reserved), (SOLD, shard.sold)):
        ordered = books.taken[itemid, number, status]
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


def _of_money(books: Books) -> Iterator[str]:
    charged, refunded, approved = _sums(books)
    if charged - refunded != approved:
        yield f"{charged - refunded} was charged for approved orders of {approved}"


def _sums(books: Books) -> tuple[int, int, int]:
    orders = books.orders.values()
    approved = sum(order.amount or 0 for order in orders if order.ticket == APPROVED)
    return sum(order.charged for order in orders), sum(order.refunded for order in orders), approved


def _whole(books: Books, itemid: str) -> Shard:
    return sum((shard for (name, _), shard in books.shards.items() if name == itemid), Shard())


def _in_words(books: Books, itemid: str) -> str:
    pieces = _whole(books, itemid)
    stock = books.items[itemid].stock
    return f"{stock} put in; {pieces.available} available, {pieces.reserved} reserved, {pieces.sold} sold"
