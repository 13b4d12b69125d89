"""Store calls of every use case: few lookups and commits, never a query."""

from collections.abc import Awaitable

from contract.tickets import APPROVED, PAID, PRE_APPROVED, RESERVED, CartItem, TicketMessage
from sagakit.runtime import Runtime
from sagakit.testing.tables import CountedTables, MemoryTables
from services.delivery.usecases import UseCases as Delivery
from services.payment.simulated import SimulatedProvider
from services.payment.usecases import UseCases as Payment
from services.purchase.ticket import Report
from services.purchase.usecases import UseCases as Purchase
from services.stock.catalogue import Catalogue
from services.stock.inventory import home_shard
from services.stock.shards import ShardHints
from services.stock.usecases import UseCases as Stock
from tests.support.counted_saga import CountedSaga
from tests.support.usecases import REMINDERS, use_cases

BLUE = CartItem("blue", 3)


class Costs:
    """Counts the calls of one use case at a time."""

    def __init__(self) -> None:
        self.tables = CountedTables(MemoryTables())

    def purchase(self) -> Purchase:
        return use_cases(self.tables, Purchase, REMINDERS, 1800, 3600)

    def stock(self) -> tuple[Stock, Catalogue]:
        hints = ShardHints()
        stock = use_cases(self.tables, Stock, REMINDERS, hints)
        return stock, use_cases(self.tables, lambda store, *_: Catalogue(store, hints))

    async def of(self, call: Awaitable[object]) -> tuple[int, int]:
        """Return the lookups and commits of `call`, which makes no query."""
        self.tables.calls.clear()
        await call
        assert self.tables.calls["due"] == 0
        return self.tables.calls["lookup"], self.tables.calls["commit"]


async def test_calls_of_purchase_cost_at_most_one_lookup_and_one_commit():
    costs = Costs()
    purchase = costs.purchase()

    assert await costs.of(purchase.create_cart("c")) == (0, 1)
    assert await costs.of(purchase.create_cart("c")) == (1, 1), "the blind insert conflicts"
    assert await costs.of(purchase.add_item("c", "red", 3, "")) == (1, 1)
    assert await costs.of(purchase.get_cart("c")) == (1, 0)
    assert await costs.of(purchase.remove_item("c", "red")) == (1, 1)
    assert await costs.of(purchase.remove_item("c", "red")) == (1, 0)
    await purchase.add_item("c", "blue", 3)
    assert await costs.of(purchase.close_cart("c")) == (1, 1)
    assert await costs.of(purchase.checkout("c")) == (1, 1)
    assert await costs.of(purchase.checkout("c")) == (2, 0)
    orderid = (await purchase.checkout("c")).orderid
    assert await costs.of(purchase.get_order_ticket(orderid)) == (1, 0)
    assert await costs.of(purchase.cancel_order(orderid)) == (1, 1)
    assert await costs.of(purchase.cancel_order(orderid)) == (1, 0)


async def test_commandid_costs_no_call_and_a_repeat_one_lookup():
    costs = Costs()
    purchase = costs.purchase()

    assert await costs.of(purchase.create_cart("c", "k1")) == (0, 1)
    assert await costs.of(purchase.create_cart("c", "k1")) == (1, 1)
    for call in (
        lambda: purchase.set_item("c", "blue", 3, "k2"),
        lambda: purchase.add_item("c", "blue", 3, "k3"),
        lambda: purchase.remove_item("c", "red", "k4"),
        lambda: purchase.close_cart("c", "k5"),
        lambda: purchase.checkout("c", "k6"),
    ):
        assert await costs.of(call()) == (1, 1)
        assert await costs.of(call()) == (1, 0)
    orderid = (await purchase.checkout("c", "k6")).orderid
    assert await costs.of(purchase.cancel_order(orderid, "k7")) == (1, 1)
    assert await costs.of(purchase.cancel_order(orderid, "k7")) == (1, 0)


async def test_report_costs_two_calls():
    costs = Costs()
    purchase = costs.purchase()
    await purchase.create_cart("c")
    await purchase.add_item("c", "blue", 3, "x")
    await purchase.close_cart("c")
    orderid = (await purchase.checkout("c")).orderid
    reserved = Report("e1", RESERVED, 1.0, amount=300)

    assert await costs.of(purchase.apply_report(orderid, reserved)) == (1, 1)
    assert await costs.of(purchase.apply_report(orderid, reserved)) == (1, 0)
    assert await costs.of(purchase.apply_report(orderid, Report("e2", PAID, 2.0))) == (1, 1)


async def test_reservation_costs_two_calls_and_its_settlement_two():
    costs = Costs()
    stock, catalogue = costs.stock()
    await catalogue.put_item("blue", 100, 80, False, False, 8)
    await catalogue.get_item("blue")  # Now it has hints of the shards.
    sold, released = (TicketMessage(orderid, PRE_APPROVED, (BLUE,)) for orderid in ("o1", "o2"))

    assert await costs.of(stock.reserve("e1", sold)) == (1, 1)
    assert await costs.of(stock.reserve("e1", sold)) == (2, 1)
    assert await costs.of(stock.reserve("e2", released)) == (1, 1)
    assert await costs.of(stock.sell("e3", sold)) == (1, 1)
    assert await costs.of(stock.release("e4", released)) == (1, 1)
    assert await costs.of(catalogue.list_items(0, "")) == (2, 0)
    assert await costs.of(catalogue.get_item("blue")) == (1, 0)
    assert await costs.of(stock.get_reservation("o1")) == (1, 0)


async def test_settlement_without_shard_hints_costs_one_more_lookup():
    costs = Costs()
    stock, catalogue = costs.stock()
    await catalogue.put_item("blue", 100, 80, False, False, 8)
    await catalogue.get_item("blue")
    ticket = TicketMessage("o1", PRE_APPROVED, (BLUE,))
    await stock.reserve("e1", ticket)
    other_process, _ = costs.stock()

    assert home_shard("o1", 8) != 0
    assert await costs.of(other_process.sell("e2", ticket)) == (2, 1)


async def test_order_reads_all_shards_only_if_its_home_shard_does_not_suffice():
    costs = Costs()
    stock, catalogue = costs.stock()
    await catalogue.put_item("blue", 100, 8, False, False, 8)
    await catalogue.get_item("blue")

    def a_ticket(orderid: str, count: int) -> TicketMessage:
        return TicketMessage(orderid, PRE_APPROVED, (CartItem("blue", count),))

    assert await costs.of(stock.reserve("e1", a_ticket("o1", 1))) == (1, 1)
    assert await costs.of(stock.reserve("e2", a_ticket("o2", 3))) == (2, 1)
    assert await costs.of(stock.reserve("e3", a_ticket("o3", 9))) == (2, 1)
    kinds = {mutation.key.kind for mutation in costs.tables.committed[-1]}
    assert "StockShard" not in kinds, "a rejected order writes no shard"


async def test_payment_costs_three_calls_besides_the_providers():
    costs = Costs()
    provider = SimulatedProvider(MemoryTables(), Runtime(), 1_000)
    payment = use_cases(costs.tables, Payment, REMINDERS, provider)
    settled, canceled = (TicketMessage(orderid, RESERVED, (BLUE,), 300) for orderid in "ab")
    free = TicketMessage("c", RESERVED, (BLUE,), 0)

    assert await costs.of(payment.charge("e1", settled)) == (1, 2), "the intention, then its outcome"
    assert await costs.of(payment.charge("e2", canceled)) == (1, 2)
    assert await costs.of(payment.charge("e3", canceled)) == (2, 2), "the blind insert conflicts"
    assert await costs.of(payment.charge("e4", free)) == (0, 1), "nothing to intend"
    assert await costs.of(payment.settle("e5", settled)) == (1, 1)
    assert await costs.of(payment.cancel("e6", canceled)) == (2, 1)
    assert await costs.of(payment.cancel("e7", canceled)) == (1, 0)
    assert await costs.of(payment.cancel_if_charged("e8", TicketMessage("d", RESERVED, ()))) == (1, 0)
    assert await costs.of(payment.get_payment("a")) == (1, 0)


async def test_delivery_costs_one_call():
    costs = Costs()
    delivery = use_cases(costs.tables, Delivery)

    assert await costs.of(delivery.arrange("e1", TicketMessage("o", APPROVED, (BLUE,)))) == (0, 1)
    assert await costs.of(delivery.get_delivery("o")) == (1, 0)


async def test_entities_of_an_order_from_checkout_to_approved():
    """Datastore bills entities read, written and deleted."""
    red = await CountedSaga().entities_to_approve("red", waives_payment=True)
    blue = await CountedSaga().entities_to_approve("blue", waives_payment=False)

    assert red == {"read": 4, "written": 10, "deleted": 3}
    assert blue == {"read": 6, "written": 16, "deleted": 4}


async def test_reservation_updates_its_shard_in_the_version_it_read():
    """Trap: stock read outside the transaction that writes it (lost update, oversell)."""
    costs = Costs()
    stock, catalogue = costs.stock()
    await catalogue.put_item("blue", 100, 10, False, False, 0)

    await stock.reserve("e1", TicketMessage("o", PRE_APPROVED, (BLUE,)))

    kinds = {mutation.key.kind: type(mutation).__name__ for mutation in costs.tables.committed[-1]}
    assert kinds == {
        "StockShard": "Update",
        "Reservation": "Insert",
        "ReceivedEvent": "Insert",
        "PublishEvent": "Insert",
    }
