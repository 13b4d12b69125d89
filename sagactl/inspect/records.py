"""The records of all services and the payment provider's ledger, read for an audit."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from contract.topology import TOPICS
from sagakit.outbox import outbox_kind
from sagakit.tables import Entity, Tables
from services.delivery.storage import DELIVERY
from services.payment.simulated import LEDGER, to_entry
from services.payment.storage import PAYMENT, to_charge
from services.purchase.storage import TICKET, to_ticket
from services.stock.inventory import Item, Shard
from services.stock.storage import ITEM, RESERVATION, SHARD, to_item, to_reservation, to_shard

PAGE = 300


@dataclass(slots=True)
class Order:
    """An order in the records of each service; None where there is no record."""

    ticket: str | None = None
    """Status of the ticket."""
    awaits_reply: bool = False
    amount: int | None = None
    reservation: str | None = None
    payment: str | None = None
    delivered: bool = False
    charged: int = 0
    refunded: int = 0


@dataclass(slots=True)
class Records:
    """All records, reduced to what an audit compares."""

    orders: dict[str, Order] = field(default_factory=lambda: defaultdict(Order))
    items: dict[str, Item] = field(default_factory=dict)
    shards: dict[tuple[str, int], Shard] = field(default_factory=dict)
    allocated: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    """Units that reservations hold, by itemid, shard and status of the reservation."""
    outboxes: Counter[str] = field(default_factory=Counter)
    """Unpublished events, by service."""


async def load_records(tables: Tables) -> Records:
    """Read the records kind by kind. They agree with each other only while no order is in progress."""
    records = Records()
    await _load_orders(tables, records)
    async for itemid, entity in every(tables, ITEM):
        records.items[itemid] = to_item(itemid, entity)
    async for name, entity in every(tables, SHARD):
        itemid, _, number = name.rpartition(":")
        records.shards[itemid, int(number)] = to_shard(entity)
    async for orderid, entity in every(tables, RESERVATION):
        reservation = to_reservation(orderid, entity)
        records.orders[orderid].reservation = reservation.status
        for each in reservation.allocations:
            records.allocated[each.itemid, each.shard, reservation.status] += each.count
    for service in TOPICS:
        async for _ in every(tables, outbox_kind(service)):
            records.outboxes[service] += 1
    return records


async def _load_orders(tables: Tables, records: Records) -> None:
    async for orderid, entity in every(tables, TICKET):
        ticket = to_ticket(orderid, entity)
        order = records.orders[orderid]
        order.ticket, order.awaits_reply, order.amount = ticket.status, ticket.awaits_reply, ticket.amount
    async for orderid, entity in every(tables, PAYMENT):
        records.orders[orderid].payment = to_charge(orderid, entity).status
    async for orderid, _ in every(tables, DELIVERY):
        records.orders[orderid].delivered = True
    async for orderid, entity in every(tables, LEDGER):
        entry = to_entry(entity)
        records.orders[orderid].charged, records.orders[orderid].refunded = entry.charged, entry.refunded


async def every(tables: Tables, kind: str) -> AsyncIterator[tuple[str, Entity]]:
    """Yield all entities of a kind with their names, reading a page at a time."""
    after = ""
    while page := await tables.page(kind, after, PAGE):
        for key, row in page:
            yield key.name, row.entity
        after = page[-1][0].name
