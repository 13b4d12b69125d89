"""Tables as they are after a long time, filled with copies of a completed order."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice

from contract.tickets import APPROVED, TicketMessage
from contract.topology import TOPOLOGY
from sagakit.inbox import inbox_kind
from sagakit.outbox import Outbox
from sagakit.runtime import Runtime
from sagakit.tables import Delete, Entity, Insert, Key, Mutation, Row, Tables, Update
from services.delivery.storage import delivery_key
from services.purchase.storage import ticket_key, to_ticket
from services.stock.storage import (
    item_entity,
    item_key,
    reservation_key,
    shard_key,
    to_item,
    to_reservation,
    to_shard,
)

COMMITS = 4
"""Concurrent commits."""
BATCH = 400
"""Entities per commit. Datastore accepts 500."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Numbers of rows to add."""

    orders: int = 100_000
    inbox_rows: int = 100_000
    outbox_rows: int = 10_000
    """Rows as left by a crash: events of orders that have reached a final status."""


@asynccontextmanager
async def grown(tables: Tables, orderid: str, growth: Growth) -> AsyncIterator[None]:
    """Add the rows of many orders like `orderid`, which has ended; remove them afterwards.

    They are removed so that the audit can read all records: with this many entities of a kind the
    emulators need seconds per page.
    """
    keys = [ticket_key(orderid), reservation_key(orderid), delivery_key(orderid)]
    rows = await tables.lookup(keys)
    names = [str(uuid.uuid4()) for _ in range(growth.orders)]
    copies = [(Key(key.kind, name), rows[key].entity) for name in names for key in keys]
    copies += _inbox(await _an_inbox_row(tables), growth.inbox_rows)
    await _sell(tables, rows[reservation_key(orderid)], growth.orders)
    await _commit(tables, (Insert(key, entity) for key, entity in copies))
    await _commit(tables, _outbox(rows[ticket_key(orderid)], names[: growth.outbox_rows]))
    yield
    await _commit(tables, (Delete(key) for key, _ in copies))
    await _sell(tables, rows[reservation_key(orderid)], -growth.orders)


async def _sell(tables: Tables, row: Row, orders: int) -> None:
    """Add and sell the units of `orders` reservations like this one, in the same shards."""
    for allocation in to_reservation("copied", row.entity).allocations:
        keys = item, shard = item_key(allocation.itemid), shard_key(allocation.itemid, allocation.shard)
        found = await tables.lookup(keys)
        before, units = to_item(allocation.itemid, found[item].entity), to_shard(found[shard].entity)
        more = allocation.count * orders
        await tables.commit(
            [
                Update(item, item_entity(replace(before, stock=before.stock + more)), found[item].version),
                Update(shard, asdict(replace(units, sold=units.sold + more)), found[shard].version),
            ]
        )


async def _an_inbox_row(tables: Tables) -> Row:
    ((_, row), *_) = await tables.page("StockReceivedEvent", "", 1)
    return row


def _inbox(row: Row, count: int) -> list[tuple[Key, Entity]]:
    kinds = [inbox_kind(service) for service in TOPOLOGY.topics]
    return [(Key(kinds[number % len(kinds)], str(uuid.uuid4())), row.entity) for number in range(count)]


def _outbox(row: Row, orderids: Sequence[str]) -> Iterator[Mutation]:
    ticket = to_ticket("copied", row.entity)
    outbox = Outbox("PurchasePublishEvent", Runtime())
    for orderid in orderids:
        message = TicketMessage(orderid, APPROVED, ticket.items)
        yield from outbox.inserts([message.to_event(str(uuid.uuid4()), {})])


async def _commit(tables: Tables, mutations: Iterable[Mutation]) -> None:
    left = iter(mutations)

    async def worker() -> None:
        while batch := list(islice(left, BATCH)):
            await tables.commit(batch)

    await asyncio.gather(*(worker() for _ in range(COMMITS)))
