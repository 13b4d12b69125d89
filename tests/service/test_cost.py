"""What the services' steps cost in calls to the store: the request path never queries."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from contract.reactions import handlers
from contract.tickets import APPROVED, CANCELED, PRE_APPROVED, RESERVED, CartItem, TicketMessage
from contract.topology import LISTENS_TO
from sagakit.consumer import Outcome
from sagakit.events import Event
from sagakit.inbox import Inbox
from sagakit.outbox import Outbox
from sagakit.relay import Relay
from sagakit.runtime import Runtime
from sagakit.store import Store
from sagakit.tables import Delete, Key, Update
from services.delivery.handlers import REACTIONS as DELIVERY
from services.delivery.usecases import UseCases as Delivery
from services.payment.handlers import REACTIONS as PAYMENT
from services.payment.simulated import SimulatedProvider
from services.payment.usecases import UseCases as Payment
from services.purchase.handlers import handlers as purchase_handlers
from services.purchase.settings import Settings
from services.purchase.ticket import Report
from services.purchase.usecases import UseCases as Purchase
from services.stock.catalogue import Catalogue
from services.stock.handlers import REACTIONS as STOCK
from services.stock.inventory import home_shard
from services.stock.shards import ShardHints
from services.stock.usecases import UseCases as Stock
from tests.support.manual_bus import ManualBus
from tests.support.tables import CountedTables, MemoryTables
from tests.support.usecases import REMINDERS, over

U = TypeVar("U")

BLUE = CartItem("blue", 3)
ONE = CartItem("blue", 1)


def purchase_over(tables) -> Purchase:
    return over(tables, Purchase, REMINDERS, Settings(1800, 3600))


def stock_over(tables) -> tuple[Stock, Catalogue]:
    shard_hints = ShardHints()
    stock = over(tables, Stock, REMINDERS, shard_hints)
    return stock, Catalogue(stock._store, shard_hints)


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
    orderid = (await purchase.checkout("c")).orderid
    assert await cost(tables, purchase.get_order_ticket(orderid)) == (1, 0)
    assert await cost(tables, purchase.cancel_order(orderid)) == (1, 1)
    assert await cost(tables, purchase.cancel_order(orderid)) == (1, 0)


async def test_a_call_under_a_commandid_costs_no_more_and_a_repeat_of_it_one_lookup():
    tables = CountedTables(MemoryTables())
    purchase = purchase_over(tables)

    assert await cost(tables, purchase.create_cart("c", "k1")) == (0, 1)
    assert await cost(tables, purchase.create_cart("c", "k1")) == (1, 1)
    for call in (
        lambda: purchase.set_item("c", "blue", 3, "k2"),
        lambda: purchase.remove_item("c", "red", "k3"),
        lambda: purchase.close_cart("c", "k4"),
        lambda: purchase.checkout("c", "k5"),
    ):
        assert await cost(tables, call()) == (1, 1)
        assert await cost(tables, call()) == (1, 0)
    orderid = (await purchase.checkout("c", "k5")).orderid
    assert await cost(tables, purchase.cancel_order(orderid, "k6")) == (1, 1)
    assert await cost(tables, purchase.cancel_order(orderid, "k6")) == (1, 0)


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


async def test_what_was_reserved_of_any_shard_is_sold_or_released_by_one_step():
    tables = CountedTables(MemoryTables())
    stock, catalogue = stock_over(tables)
    await catalogue.put_item("blue", 100, 80, False, False, 8)
    await catalogue.get_item("blue")  # Now it knows of the shards.
    sold = TicketMessage("o1", APPROVED, (BLUE,))
    released = TicketMessage("o2", CANCELED, (BLUE,))
    for ticket in (sold, released):
        await stock.reserve(ticket.orderid, ticket)

    assert await cost(tables, stock.sell("e1", sold)) == (1, 1)
    assert await cost(tables, stock.release("e2", released)) == (1, 1)


async def test_a_process_that_knows_nothing_of_the_shards_looks_once_more_to_sell():
    tables = CountedTables(MemoryTables())
    stock, catalogue = stock_over(tables)
    await catalogue.put_item("blue", 100, 80, False, False, 8)
    await catalogue.get_item("blue")
    ticket = TicketMessage("o1", PRE_APPROVED, (BLUE,))
    await stock.reserve("e1", ticket)
    stranger, _ = stock_over(tables)

    assert home_shard("o1", 8) != 0
    assert await cost(tables, stranger.sell("e2", ticket)) == (2, 1)


async def test_a_payment_costs_two_calls_beside_the_providers_and_two_to_settle_or_give_back():
    tables = CountedTables(MemoryTables())
    payment = over(tables, Payment, REMINDERS, SimulatedProvider(MemoryTables(), Runtime(), 1_000))
    settled, canceled = (TicketMessage(orderid, RESERVED, (BLUE,), 300) for orderid in "ab")

    assert await cost(tables, payment.charge("e1", settled)) == (1, 1)
    assert await cost(tables, payment.charge("e2", canceled)) == (1, 1)
    assert await cost(tables, payment.charge("e2 again", canceled)) == (2, 1)
    assert await cost(tables, payment.settle("e3", settled)) == (1, 1)
    assert await cost(tables, payment.cancel("e4", canceled)) == (1, 1)
    assert await cost(tables, payment.cancel_if_charged("e5", canceled)) == (1, 0)
    assert await cost(tables, payment.get_payment("a")) == (1, 0)


async def test_a_delivery_costs_one_call():
    tables = CountedTables(MemoryTables())
    delivery = over(tables, Delivery)

    assert await cost(tables, delivery.arrange("e1", TicketMessage("o", APPROVED, (BLUE,)))) == (0, 1)
    assert await cost(tables, delivery.get_delivery("o")) == (1, 0)


class Meter(CountedTables):
    """Counts entities looked up, written and deleted; the payment provider's books are its own affair."""

    def __init__(self, tables) -> None:
        super().__init__(tables)
        self.entities: Counter[str] = Counter()

    async def lookup(self, keys):
        self.entities["read"] += sum(ours(key) for key in keys)
        return await super().lookup(keys)

    async def commit(self, mutations):
        for mutation in filter(lambda mutation: ours(mutation.key), mutations):
            self.entities["deleted" if isinstance(mutation, Delete) else "written"] += 1
        await super().commit(mutations)


def ours(key: Key) -> bool:
    return not key.kind.startswith("Simulated")


class Walk:
    """All services over one meter: what one publishes, every one that listens to it handles once."""

    def __init__(self) -> None:
        self.meter = Meter(MemoryTables())
        self.bus = ManualBus()
        self.relays: list[Relay] = []
        shard_hints = ShardHints()
        provider = SimulatedProvider(self.meter, Runtime(), 1_000)
        self.catalogue = Catalogue(stock_over(self.meter)[0]._store, shard_hints)
        self.purchase = self.service("purchase", Purchase, REMINDERS, Settings(1800, 3600))
        self.handlers = {
            "purchase": purchase_handlers(self.purchase, Runtime()),
            "stock": handlers(STOCK, self.service("stock", Stock, REMINDERS, shard_hints)),
            "payment": handlers(PAYMENT, self.service("payment", Payment, REMINDERS, provider)),
            "delivery": handlers(DELIVERY, self.service("delivery", Delivery)),
        }

    def service(self, name: str, build: Callable[..., U], *more: object) -> U:
        """Use cases with outbox and inbox of their own; the topic is called as the service."""
        runtime = Runtime()
        outbox = Outbox(f"{name}PublishEvent", runtime)
        relay = Relay(self.meter, self.bus, name, outbox, runtime)
        self.relays.append(relay)
        store = Store(self.meter, outbox, relay, runtime)
        return build(store, Inbox(f"{name}ReceivedEvent", runtime), runtime, *more)

    async def of(self, itemid: str, *, waives_payment: bool) -> Counter[str]:
        """What an order for one piece costs from checkout until it is published that it is approved."""
        await self.catalogue.put_item(itemid, 100, 8, waives_payment, False, 8)
        await self.purchase.create_cart("c")
        await self.purchase.add_item("c", itemid, 1, "x")
        await self.purchase.close_cart("c")
        self.meter.entities.clear()
        await self.purchase.checkout("c")
        while waiting := await self.published():
            for publisher, event in waiting:
                if TicketMessage.from_event(event).status == APPROVED:
                    return self.meter.entities
                for service in (each for each, heard in LISTENS_TO.items() if publisher in heard):
                    await self.handlers[service][event.type](event)
        raise AssertionError("it was never approved")

    async def published(self) -> list[tuple[str, Event]]:
        """What is new on all topics, once it is out of the outboxes."""
        running = [asyncio.create_task(relay.run()) for relay in self.relays]
        await asyncio.gather(*(relay.drained() for relay in self.relays))
        for task in running:
            task.cancel()
        batches, self.bus.published = self.bus.published, []
        return [(topic, Event.from_message(message)) for topic, batch in batches for message in batch]


async def test_what_an_order_costs_from_checkout_to_approved():
    """Entities read, written and deleted: Datastore's prices are by these."""
    red = await Walk().of("red", waives_payment=True)
    blue = await Walk().of("blue", waives_payment=False)

    assert red == {"read": 4, "written": 10, "deleted": 3}
    assert blue == {"read": 6, "written": 15, "deleted": 4}


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
    assert (await catalogue.get_item("blue")).units.reserved == 3
