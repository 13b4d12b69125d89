"""The audit: whether stock, money and orders agree once no order is in progress."""

from collections import Counter
from collections.abc import Iterator, Mapping

from contract.tickets import APPROVED, FAILED, OPEN, TERMINAL
from sagactl.inspect.records import ORDER_KINDS, Order, Records, Units, load_records, order_records_of
from sagakit.audits import Audit, AuditReport, SlicedCheck
from sagakit.tables import Entity, Tables
from services.payment.charge import CHARGED, CHARGING, SETTLED
from services.payment.charge import STATUSES as CHARGE_STATUSES
from services.stock.inventory import RESERVED, SOLD, Shard
from services.stock.inventory import STATUSES as RESERVATION_STATUSES


async def _check_orders(tables: Tables, _since: float) -> AuditReport:
    records = await load_records(tables)
    return AuditReport(problems(records), summary(records))


def _check_order(orderid: str, entities: Mapping[str, Entity], before: float) -> list[str]:
    """Return what does not balance in an order opened before `before`, as far as its own records tell it."""
    records = order_records_of(orderid, entities)
    order = records.orders[orderid]
    if order.opened_at >= before:
        return []
    if order.is_corrupt:
        return [f"corrupt: {each}" for each in records.corrupt]
    return [f"order {orderid}: {problem}" for problem in _order_problems(order)]


ORDERS = Audit(_check_orders, sliced=SlicedCheck(ORDER_KINDS, _check_order))
"""The audit of orders, stock and money, which compares the records of the shop's four services.

In slices it compares the records of each order. The units of items are compared only as a whole.
"""


def problems(records: Records) -> list[str]:
    """Return what does not balance, one line each, naming the order or item."""
    orders = ((orderid, order) for orderid, order in records.orders.items() if not order.is_corrupt)
    return [
        *(f"corrupt: {each}" for each in records.corrupt),
        *_item_problems(records),
        *(f"order {orderid}: {problem}" for orderid, order in orders for problem in _order_problems(order)),
        *_money_problems(records),
    ]


def summary(records: Records) -> list[str]:
    """Return totals, one line each."""
    statuses = Counter(order.ticket for order in records.orders.values() if order.ticket is not None)
    charged, refunded, approved = _sums(records)
    return [
        f"orders: {sum(statuses.values())}",
        *(f"  {status}: {count}" for status, count in sorted(statuses.items())),
        *(_item_line(records, itemid) for itemid in sorted(records.items)),
        f"charged {charged} - refunded {refunded} = {charged - refunded}; approved for payment: {approved}",
        *([f"corrupt entities: {len(records.corrupt)}"] if records.corrupt else []),
    ]


def _item_problems(records: Records) -> Iterator[str]:
    for itemid, item in records.items.items():
        total = _total(records, itemid)
        units = total.available + total.reserved + total.sold
        if units != item.stock:
            yield f"item {itemid}: {item.stock} units were added, {units} are accounted for"
    for itemid in dict.fromkeys(itemid for itemid, _ in records.shards if itemid not in records.items):
        yield f"item {itemid}: it has shards but no record of its own"
    # Shards that reservations name are compared even if they do not exist.
    for itemid, number in dict.fromkeys([*records.shards, *(key[:2] for key in records.allocated)]):
        yield from _shard_problems(records, itemid, number)


def _shard_problems(records: Records, itemid: str, number: int) -> Iterator[str]:
    shard = records.shards.get((itemid, number), Shard())
    for status, units in ((RESERVED, shard.reserved), (SOLD, shard.sold)):
        allocated = records.allocated[itemid, number, status]
        if units != allocated:
            yield f"item {itemid}: shard {number} has {units} units {status}, orders have {allocated}"
    if min(shard.available, shard.reserved, shard.sold) < 0:
        yield f"item {itemid}: shard {number} has a negative count"


def _order_problems(order: Order) -> Iterator[str]:
    yield from _unknown_statuses(order)
    if order.ticket is None:
        yield "it has no ticket"
    if order.ticket in OPEN:
        yield f"its ticket is still {order.ticket}"
    elif order.awaits_reply:
        yield f"its ticket is {order.ticket} and awaits a reply"
    if order.reservation == RESERVED:
        yield "its reservation is neither sold nor released"
    if order.payment == CHARGING:
        yield "its charge has no recorded outcome"
    if order.payment == CHARGED:
        yield "its charge is neither settled nor refunded"
    if order.ticket == APPROVED:
        yield from _approved_problems(order)
    elif order.ticket in FAILED:
        yield from _failed_problems(order)


def _unknown_statuses(order: Order) -> Iterator[str]:
    """Yield the statuses of a newer release: what they demand of the other records is unknown here."""
    for record, status, known in (
        ("ticket", order.ticket, OPEN | TERMINAL),
        ("reservation", order.reservation, RESERVATION_STATUSES),
        ("charge", order.payment, CHARGE_STATUSES),
    ):
        if status is not None and status not in known:
            yield f"the status of its {record} is unknown to this version: {status}"


def _approved_problems(order: Order) -> Iterator[str]:
    if order.reservation not in {SOLD, RESERVED}:
        yield f"it is approved, but its reservation is {order.reservation}"
    elif order.reserved != order.ordered:
        yield f"it is approved for {_units(order.ordered)}, but {_units(order.reserved)} was reserved"
    elif order.price != order.amount:
        yield f"it is approved for {order.amount}, but its reservation is for {order.price}"
    if order.shipped is None:
        yield "it is approved, but not delivered"
    elif order.shipped != order.ordered:
        yield f"it is approved for {_units(order.ordered)}, but {_units(order.shipped)} was shipped"
    if order.amount and order.payment is None:
        yield f"it is approved for {order.amount}, but has no charge on record"
    kept, due = order.charged - order.refunded, order.amount or 0
    if kept != due:
        yield f"it is approved for {due}, but {kept} was charged"


def _units(units: Units) -> str:
    return ", ".join(f"{count} {itemid}" for itemid, count in units) or "nothing"


def _failed_problems(order: Order) -> Iterator[str]:
    if order.reservation == SOLD:
        yield f"it is {order.ticket}, but sold"
    if order.payment == SETTLED:
        yield f"it is {order.ticket}, but its charge is settled"
    if order.charged != order.refunded:
        yield f"it is {order.ticket}, but {order.charged - order.refunded} was charged"
    if order.shipped is not None:
        yield f"it is {order.ticket}, but delivered"


def _money_problems(records: Records) -> Iterator[str]:
    charged, refunded, approved = _sums(records)
    if charged - refunded != approved:
        yield f"{charged - refunded} was charged for approved orders of {approved}"


def _sums(records: Records) -> tuple[int, int, int]:
    orders = records.orders.values()
    approved = sum(order.amount or 0 for order in orders if order.ticket == APPROVED)
    return sum(order.charged for order in orders), sum(order.refunded for order in orders), approved


def _total(records: Records, itemid: str) -> Shard:
    return sum((shard for (name, _), shard in records.shards.items() if name == itemid), Shard())


def _item_line(records: Records, itemid: str) -> str:
    total = _total(records, itemid)
    units = f"{total.available} available, {total.reserved} reserved, {total.sold} sold"
    return f"item {itemid}: {records.items[itemid].stock} added; {units}"
