"""Pending orders: listed over all pages, also if many are due at the same time."""

from sagactl.cli.pending import PAGE, pending_orders
from sagakit.tables import Insert, Key, Row, Update
from sagakit.testing.clock import START
from sagakit.testing.tables import MemoryTables
from services.purchase.storage import ticket_entity, ticket_key, to_ticket
from services.purchase.ticket import opened


async def tables_with(orders: int, due: float | None, apart: float = 0.0) -> MemoryTables:
    """Return orders that were opened one second apart and are due `apart` seconds apart."""
    tables = MemoryTables()
    for number in range(orders):
        ticket = opened(f"order-{number}", "cart", (), START + number)
        due_at = None if due is None else due + number * apart
        await tables.commit([Insert(ticket_key(ticket.orderid), ticket_entity(ticket, due_at))])
    return tables


async def test_each_pending_order_is_listed_once_oldest_first():
    """All are due at the same time, and are more than a page in each shard."""
    count = 20 * PAGE
    tables = await tables_with(count, due=START)

    found, _ = await pending_orders(tables, START + count, older_than_seconds=0)

    assert [each.ticket.orderid for each in found] == [f"order-{number}" for number in range(count)]


async def test_younger_orders_are_not_listed():
    tables = await tables_with(100, due=START + 5)

    found, _ = await pending_orders(tables, START + 100, older_than_seconds=91)

    assert [each.ticket.orderid for each in found] == [f"order-{number}" for number in range(10)]
    assert str(found[0]) == "order-0  pre-approved      1m 40s  0 reminders"


async def test_settled_orders_are_not_listed():
    found = await pending_orders(await tables_with(10, due=None), START + 100, older_than_seconds=0)

    assert found == ([], [])


class RescheduledTables(MemoryTables):
    """Postpones every ticket that a query returns, as a reminder would."""

    async def due(self, kind: str, start: str, end: str, limit: int) -> list[tuple[Key, Row]]:
        page = await super().due(kind, start, end, limit)
        for key, row in page:
            postponed = ticket_entity(to_ticket(key.name, row.entity), 2 * START)
            await self.commit([Update(key, postponed, row.version)])
        return page


async def test_orders_that_are_rescheduled_meanwhile_are_listed_once():
    count = 20 * PAGE
    tables = RescheduledTables()
    for key, row in (await tables_with(count, due=START, apart=1.0)).rows.items():
        await tables.commit([Insert(key, row.entity)])

    found, _ = await pending_orders(tables, START + count, older_than_seconds=0)

    assert [each.ticket.orderid for each in found] == [f"order-{number}" for number in range(count)]


async def test_corrupt_tickets_hide_no_other():
    tables = await tables_with(3, due=START)
    whole = tables.rows[ticket_key("order-1")].entity
    changes = {
        "order-0": {"status": 5},
        "order-2": {"history": []},
        "order-3": {"history": [{"status": "x", "time": float("nan"), "cause": "x"}]},
    }
    for name, change in changes.items():
        tables.rows[ticket_key(name)] = Row({**whole, **change}, 1)

    found, corrupt = await pending_orders(tables, START + 100, older_than_seconds=0)

    assert [each.ticket.orderid for each in found] == ["order-1"]
    assert sorted(corrupt) == [
        "OrderTicket order-0: Ticket.status: its type is int",
        "OrderTicket order-2: IndexError: tuple index out of range",
        "OrderTicket order-3: ValueError: cannot convert float NaN to integer",
    ]


async def test_orders_that_a_fast_clock_wrote_are_listed_whatever_their_age():
    tables = await tables_with(1, due=START)
    for orderid, ahead in (("opened-ahead", 3600.0), ("due-ahead", 0.0)):
        ticket = opened(orderid, "cart", (), START + ahead)
        await tables.commit([Insert(ticket_key(orderid), ticket_entity(ticket, START + 3600))])

    found, _ = await pending_orders(tables, START + 1, older_than_seconds=60)

    assert [str(each) for each in found] == [
        "due-ahead  pre-approved           ?  0 reminders  clock was fast",
        "opened-ahead  pre-approved           ?  0 reminders  clock was fast",
    ]
