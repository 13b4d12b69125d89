"""What the services' steps cost in calls to the store: the request path never queries."""

from contract.tickets import PRE_APPROVED, RESERVED, CartItem, TicketMessage
from sagakit.consumer import Outcome
from sagakit.inbox import Inbox
from sagakit.outbox import Outbox
from sagakit.relay import Relay
from sagakit.runtime import Runtime
from sagakit.store import Store
from sagakit.tables import Update
from services.purchase.ticket import Report
from services.purchase.usecases import UseCases as Purchase
from services.stock.usecases import UseCases as Stock
from tests.support.tables import CountedTables, MemoryTables

BLUE = CartItem("blue", 3)


def counted(usecases, tables):
    """Use cases over `tables`; their relay is not running, so that only steps are counted."""
    runtime = Runtime()
    outbox = Outbox("PublishEvent", runtime)
    store = Store(tables, outbox, Relay(tables, None, "topic", outbox, runtime), runtime)
    return usecases(store, Inbox("ReceivedEvent", runtime), runtime)


async def cost(tables: CountedTables, step) -> tuple[int, int]:
    """Lookups and commits of a step, which makes no queries."""
    tables.calls.clear()
    await step
    assert tables.calls["due"] == 0
    return tables.calls["lookup"], tables.calls["commit"]


async def test_every_call_of_purchase_costs_at_most_one_lookup_and_one_commit():
    tables = CountedTables(MemoryTables())
    purchase = counted(Purchase, tables)

    assert await cost(tables, purchase.create_cart("c")) == (0, 1)
    assert await cost(tables, purchase.add_item("c", "blue", 3, "x")) == (1, 1)
    assert await cost(tables, purchase.add_item("c", "blue", 3, "x")) == (1, 0)
    assert await cost(tables, purchase.add_item("c", "red", 3, "")) == (1, 1)
    assert await cost(tables, purchase.get_cart("c")) == (1, 0)
    assert await cost(tables, purchase.remove_item("c", "red")) == (1, 1)
    assert await cost(tables, purchase.remove_item("c", "red")) == (1, 0)
    assert await cost(tables, purchase.close_cart("c")) == (1, 1)
    assert await cost(tables, purchase.checkout("c")) == (1, 1)


async def test_a_repeated_create_or_checkout_costs_what_it_takes_to_find_what_is_there():
    tables = CountedTables(MemoryTables())
    purchase = counted(Purchase, tables)
    await purchase.create_cart("c")
    await purchase.add_item("c", "blue", 3, "x")
    await purchase.close_cart("c")
    await purchase.checkout("c")

    assert await cost(tables, purchase.create_cart("c")) == (1, 1)
    assert await cost(tables, purchase.checkout("c")) == (2, 0)


async def test_a_report_costs_two_calls_and_three_where_it_is_a_duplicate():
    tables = CountedTables(MemoryTables())
    purchase = counted(Purchase, tables)
    await purchase.create_cart("c")
    await purchase.add_item("c", "blue", 3, "x")
    await purchase.close_cart("c")
    orderid = (await purchase.checkout("c")).orderid
    reserved = Report("e1", RESERVED, 1.0, amount=300)

    assert await cost(tables, purchase.apply_report(orderid, reserved)) == (1, 1)
    assert await cost(tables, purchase.apply_report(orderid, reserved)) == (1, 0)
    paid = Report("e2", "paid", 2.0)
    assert await cost(tables, purchase.apply_report(orderid, paid)) == (1, 1)


async def test_a_reservation_costs_two_calls_and_three_where_it_is_a_duplicate():
    tables = CountedTables(MemoryTables())
    stock = counted(Stock, tables)
    await stock.put_item("blue", 100, 10, False, False)
    ticket = TicketMessage("o", PRE_APPROVED, (BLUE,))

    assert await cost(tables, stock.reserve("e1", ticket)) == (1, 1)
    assert await cost(tables, stock.reserve("e1", ticket)) == (2, 1)
    assert await cost(tables, stock.list_items(0, "")) == (2, 0)
    assert await cost(tables, stock.get_reservation("o")) == (1, 0)


async def test_what_a_step_of_stock_reads_and_changes_it_writes_in_the_version_it_read():
    """Trap: stock read outside the transaction that writes it (lost update, oversell)."""
    tables = CountedTables(MemoryTables())
    stock = counted(Stock, tables)
    await stock.put_item("blue", 100, 10, False, False)

    await stock.reserve("e1", TicketMessage("o", PRE_APPROVED, (BLUE,)))

    kinds = {mutation.key.kind: type(mutation).__name__ for mutation in tables.committed[-1]}
    assert kinds == {
        "StockItem": Update.__name__,
        "Reservation": "Insert",
        "ReceivedEvent": "Insert",
        "PublishEvent": "Insert",
    }


async def test_stock_that_is_asked_again_repeats_its_first_answer():
    """Trap: a duplicate taken for a failure, so that a good order is rolled back."""
    tables = CountedTables(MemoryTables())
    stock = counted(Stock, tables)
    await stock.put_item("blue", 100, 3, False, False)
    ticket = TicketMessage("o", PRE_APPROVED, (BLUE,))
    await stock.reserve("e1", ticket)
    await stock.put_item("blue", 999, 3, False, False)

    outcome = await stock.reserve("e2", ticket)

    assert outcome is Outcome.APPLIED
    answers = [
        mutation.entity["body"]
        for mutations in tables.committed
        for mutation in mutations
        if mutation.key.kind == "PublishEvent"
    ]
    assert len(answers) == 2
    assert answers[0] == answers[1]
    assert (await stock.get_item("blue")).reserved == 3
