"""What the services' steps cost in calls to the store: the request path never queries."""

from contract.tickets import CANCELED, PAID, PRE_APPROVED, RESERVED, CartItem, TicketMessage
from sagakit.consumer import Outcome
from sagakit.runtime import Runtime
from sagakit.tables import Update
from services.payment.simulated import SimulatedProvider
from services.payment.usecases import UseCases as Payment
from services.purchase.settings import Settings
from services.purchase.ticket import Report
from services.purchase.usecases import UseCases as Purchase
from services.stock.catalogue import Catalogue
from services.stock.shards import Whereabouts
from services.stock.usecases import UseCases as Stock
from tests.support.tables import CountedTables, MemoryTables
from tests.support.usecases import OUTBOX, PATIENCE, over

BLUE = CartItem("blue", 3)
ONE = CartItem("blue", 1)


def purchase_over(tables) -> Purchase:
    return over(tables, Purchase, PATIENCE, Settings(1800, 3600))


def stock_over(tables) -> tuple[Stock, Catalogue]:
    whereabouts = Whereabouts()
    stock = over(tables, Stock, PATIENCE, whereabouts)
    return stock, Catalogue(stock._store, whereabouts)


async def cost(tables: CountedTables, step) -> tuple[int, int]:
    """Lookups and commits of a step, which makes no queries."""
    tables.calls.clear()
    await step
    assert tables.calls["due"] == 0
    return tables.calls["lookup"], tables.calls["commit"]


async def test_every_call_of_purchase_costs_at_most_one_lookup_and_one_commit():
    tables = CountedTables(MemoryTables())
    purchase = purchase_over(tables)

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
    purchase = purchase_over(tables)
    await purchase.create_cart("c")
    await purchase.add_item("c", "blue", 3, "x")
    await purchase.close_cart("c")
    await purchase.checkout("c")

    assert await cost(tables, purchase.create_cart("c")) == (1, 1)
    assert await cost(tables, purchase.checkout("c")) == (2, 0)


async def test_a_report_costs_two_calls_and_three_where_it_is_a_duplicate():
    tables = CountedTables(MemoryTables())
    purchase = purchase_over(tables)
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
    stock, catalogue = stock_over(tables)
    await catalogue.put_item("blue", 100, 10, False, False, 0)
    ticket = TicketMessage("o", PRE_APPROVED, (BLUE,))

    assert await cost(tables, stock.reserve("e1", ticket)) == (1, 1)
    assert await cost(tables, stock.reserve("e1", ticket)) == (2, 1)
    assert await cost(tables, catalogue.list_items(0, "")) == (2, 0)
    assert await cost(tables, catalogue.get_item("blue")) == (1, 0)
    assert await cost(tables, stock.get_reservation("o")) == (1, 0)
    assert await cost(tables, stock.sell("e2", ticket)) == (1, 1)


async def test_only_an_order_whose_shard_is_short_looks_at_all_of_them():
    tables = CountedTables(MemoryTables())
    stock, catalogue = stock_over(tables)
    await catalogue.put_item("blue", 100, 8, False, False, 8)
    await catalogue.get_item("blue")  # Now it knows of the shards.

    assert await cost(tables, stock.reserve("e1", TicketMessage("o1", PRE_APPROVED, (ONE,)))) == (1, 1)
    assert await cost(tables, stock.reserve("e2", TicketMessage("o2", PRE_APPROVED, (BLUE,)))) == (2, 1)
    assert await cost(tables, stock.release("e3", TicketMessage("o1", CANCELED, (ONE,)))) == (1, 1)
    too_much = TicketMessage("o3", PRE_APPROVED, (CartItem("blue", 9),))
    assert await cost(tables, stock.reserve("e4", too_much)) == (2, 1)
    assert "StockShard" not in {mutation.key.kind for mutation in tables.committed[-1]}, (
        "a refusal takes none"
    )


class Meter(CountedTables):
    """Counts entities looked up and written, those of the payment provider left out: they are its affair."""

    def __init__(self, tables) -> None:
        super().__init__(tables)
        self.reads = self.writes = self.said = 0

    async def lookup(self, keys):
        self.reads += sum(not key.kind.startswith("Simulated") for key in keys)
        return await super().lookup(keys)

    async def commit(self, mutations):
        self.writes += sum(not mutation.key.kind.startswith("Simulated") for mutation in mutations)
        self.said += sum(mutation.key.kind == OUTBOX for mutation in mutations)
        await super().commit(mutations)


async def metered(itemid: str, waives_payment: bool) -> tuple[int, int, int]:
    """Reads, writes and deletes from checkout to approved, each event handled once."""
    meter = Meter(MemoryTables())
    purchase = purchase_over(meter)
    stock, catalogue = stock_over(meter)
    provider = SimulatedProvider(meter, Runtime(), 1_000)
    payment = over(meter, Payment, PATIENCE, provider)
    await catalogue.put_item(itemid, 100, 8, waives_payment, False, 8)
    await purchase.create_cart("c")
    await purchase.add_item("c", itemid, 1, "x")
    await purchase.close_cart("c")
    meter.reads = meter.writes = meter.said = 0
    orderid = (await purchase.checkout("c")).orderid
    await stock.reserve("e1", TicketMessage(orderid, PRE_APPROVED, (CartItem(itemid, 1),)))
    if not waives_payment:
        await purchase.apply_report(orderid, Report("e2", RESERVED, 1.0, amount=100))
        await payment.charge("e2 too", TicketMessage(orderid, RESERVED, (CartItem(itemid, 1),), 100))
    await purchase.apply_report(orderid, Report("e3", PAID, 1.0))
    assert (await purchase.get_order_ticket(orderid)).status == "approved"
    # Every row of the outbox is deleted once it is published.
    return meter.reads - 1, meter.writes, meter.said


async def test_what_an_order_costs_from_checkout_to_approved():
    """Entities read, written and deleted: Datastore's prices are by these."""
    red = await metered("red", waives_payment=True)
    blue = await metered("blue", waives_payment=False)

    assert red == (4, 10, 3)
    assert blue == (6, 15, 4)


async def test_what_a_step_of_stock_reads_and_changes_it_writes_in_the_version_it_read():
    """Trap: stock read outside the transaction that writes it (lost update, oversell)."""
    tables = CountedTables(MemoryTables())
    stock, catalogue = stock_over(tables)
    await catalogue.put_item("blue", 100, 10, False, False, 0)

    await stock.reserve("e1", TicketMessage("o", PRE_APPROVED, (BLUE,)))

    kinds = {mutation.key.kind: type(mutation).__name__ for mutation in tables.committed[-1]}
    assert kinds == {
        "StockShard": Update.__name__,
        "Reservation": "Insert",
        "ReceivedEvent": "Insert",
        "PublishEvent": "Insert",
    }


async def test_stock_that_is_asked_again_repeats_its_first_answer():
    """Trap: a duplicate taken for a failure, so that a good order is rolled back."""
    tables = CountedTables(MemoryTables())
    stock, catalogue = stock_over(tables)
    await catalogue.put_item("blue", 100, 3, False, False, 0)
    ticket = TicketMessage("o", PRE_APPROVED, (BLUE,))
    await stock.reserve("e1", ticket)
    await catalogue.put_item("blue", 999, 3, False, False, 0)

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
    assert (await catalogue.get_item("blue")).pieces.reserved == 3
