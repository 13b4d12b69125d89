"""Which orders wait, however many, and however many share a moment."""

from sagactl.cli.pending import PAGE, pending_orders
from sagakit.tables import Insert, Key, Row, Update
from services.purchase.storage import ticket_entity, ticket_key, to_ticket
from services.purchase.ticket import opened
from tests.support.clock import START
from tests.support.tables import MemoryTables


async def tables_with(orders: int, due: float | None, apart: float = 0.0) -> MemoryTables:
    """Orders that were opened a second after one another, and are due so far `apart`."""
    tables = MemoryTables()
    for number in range(orders):
        ticket = opened(f"order-{number}", "cart", (), START + number)
        when = None if due is None else due + number * apart
        await tables.commit([Insert(ticket_key(ticket.orderid), ticket_entity(ticket, when))])
    return tables


async def test_every_order_that_waits_is_listed_once_the_oldest_first():
    """All of them are due at the same moment, far more than a page of each shard."""
    count = 20 * PAGE
    tables = await tables_with(count, due=START)

    found = await pending_orders(tables, START + count, older_than_seconds=0)

    assert [each.ticket.orderid for each in found] == [f"order-{number}" for number in range(count)]


async def test_only_orders_of_an_age_are_listed():
    tables = await tables_with(100, due=START + 5)

    found = await pending_orders(tables, START + 100, older_than_seconds=91)

    assert [each.ticket.orderid for each in found] == [f"order-{number}" for number in range(10)]
    assert str(found[0]) == "order-0  pre-approved      1m 40s  0 reminders"


async def test_what_has_come_to_rest_is_not_listed():
    assert await pending_orders(await tables_with(10, due=None), START + 100, older_than_seconds=0) == []


async def put_off_once_seen(tables: MemoryTables, page: list[tuple[Key, Row]]) -> None:
    """As the watch does it, meanwhile."""
    late = {key: ticket_entity(to_ticket(key.name, row.entity), 2 * START) for key, row in page}
    await tables.commit([Update(key, late[key], row.version) for key, row in page])


class WatchedTables(MemoryTables):
    async def due(self, kind: str, start: str, end: str, limit: int) -> list[tuple[Key, Row]]:
        page = await super().due(kind, start, end, limit)
        await put_off_once_seen(self, page)
        return page


async def test_orders_that_are_put_off_meanwhile_are_listed_all_the_same_and_once():
    count = 20 * PAGE
    tables = WatchedTables()
    for key, row in (await tables_with(count, due=START, apart=1.0)).rows.items():
        await tables.commit([Insert(key, row.entity)])

    found = await pending_orders(tables, START + count, older_than_seconds=0)

    assert [each.ticket.orderid for each in found] == [f"order-{number}" for number in range(count)]
