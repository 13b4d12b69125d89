"""The books of all services and of the payment provider, read for an audit; nothing is written."""

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
    """What each of the books says about an order; None where it says nothing."""

    ticket: str | None = None
    waits: bool = False
    """Its ticket waits for somebody's answer."""
    amount: int | None = None
    reservation: str | None = None
    payment: str | None = None
    delivered: bool = False
    charged: int = 0
    refunded: int = 0


@dataclass(slots=True)
class Records:
    """Everything an audit looks at, in a few facts an order."""

    orders: dict[str, Order] = field(default_factory=lambda: defaultdict(Order))
    items: dict[str, Item] = field(default_factory=dict)
    shards: dict[tuple[str, int], Shard] = field(default_factory=dict)
    allocated: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    """Pieces that reservations have of a shard, by itemid, shard and the reservation's status."""
    outboxes: Counter[str] = field(default_factory=Counter)
    """Events waiting to be published, by service."""


async def load_records(tables: Tables) -> Records:
    """The books one after the other: they agree with one another only when nothing is going on."""
    records = Records()
    await _read_orders(tables, records)
    async for itemid, entity in every(tables, ITEM):
        records.items[itemid] = to_item(itemid, entity)
    async for name, entity in every(tables, SHARD):
        itemid, _, number = name.rpartition(":")
        records.shards[itemid, int(number)] = to_shard(entity)
    async for orderid, entity in every(tables, RESERVATION):
        reservation = to_reservation(orderid, entity)
        records.orders[orderid].reservation = reservation.status
        for allocation in reservation.allocations:
            records.allocated[allocation.itemid, allocation.shard, reservation.status] += allocation.count
    for service in TOPICS:
        async for _ in every(tables, outbox_kind(service)):
            records.outboxes[service] += 1
    return records


async def _read_orders(tables: Tables, records: Records) -> None:
    async for orderid, entity in every(tables, TICKET):
        ticket = to_ticket(orderid, entity)
        order = records.orders[orderid]
        order.ticket, order.waits, order.amount = ticket.status, ticket.awaits_reply, ticket.amount
    async for orderid, entity in every(tables, PAYMENT):
        records.orders[orderid].payment = to_charge(orderid, entity).status
    async for orderid, _ in every(tables, DELIVERY):
        records.orders[orderid].delivered = True
    async for orderid, entity in every(tables, LEDGER):
        entry = to_entry(entity)
        records.orders[orderid].charged, records.orders[orderid].refunded = entry.charged, entry.refunded


async def every(tables: Tables, kind: str) -> AsyncIterator[tuple[str, Entity]]:
    """All entities of a kind with their names, read a page at a time."""
    after = ""
    while page := await tables.page(kind, after, PAGE):
        for key, row in page:
            yield key.name, row.entity
        after = page[-1][0].name
