"""Purchase's transactions: cancellation, deadlines, reminders, and commits whose outcome is unknown."""

from collections.abc import Awaitable, Callable, Sequence

import pytest

from contract.tickets import (
    APPROVED,
    CANCELED,
    DELIVERY_ARRANGED,
    PAID,
    PAYMENT_FAILED,
    PRE_APPROVED,
    RESERVE_FAILED,
    RESERVED,
    CartItem,
    TicketMessage,
    ticket_event,
)
from sagakit.consumer import Outcome
from sagakit.errors import FailedPrecondition, NotFound, OutcomeUnknown, Poison
from sagakit.events import Event, timestamp
from sagakit.sweeper import Expiry
from sagakit.tables import Mutation, Tables
from sagakit.testing.clock import START
from sagakit.testing.tables import LostResponseTables, MemoryTables
from services.purchase.ticket import CLIENT, TIMEOUT, HistoryEntry
from services.purchase.usecases import UseCases as Purchase
from tests.support.harness import background
from tests.support.usecases import DEADLINE, REMINDERS, PurchaseHarness


@pytest.fixture
async def shop() -> PurchaseHarness:
    return await PurchaseHarness().check_out()


class OvertakenTables(MemoryTables):
    """Tables of a slow process: `meanwhile` runs before its first commit."""

    def __init__(self, tables: Tables, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self._tables = tables
        self._meanwhile = [meanwhile]
        self.lookup = tables.lookup

    async def commit(self, mutations: Sequence[Mutation]) -> None:
        while self._meanwhile:
            await self._meanwhile.pop()()
        await self._tables.commit(mutations)


@pytest.mark.parametrize("reports", [[], [RESERVED]])
async def test_repeated_cancel_returns_the_canceled_ticket(shop: PurchaseHarness, reports):
    for status in reports:
        await shop.report(status)

    await shop.clock.advance(5)
    canceled = await shop.purchase.cancel_order(shop.orderid)
    await shop.clock.advance(5)
    repeated = await shop.purchase.cancel_order(shop.orderid)

    assert (canceled.status, canceled.reason) == (CANCELED, CLIENT)
    assert canceled.history[-1] == HistoryEntry(CANCELED, START + 5, CLIENT)
    assert repeated == canceled == await shop.ticket()
    assert shop.statuses == [PRE_APPROVED, CANCELED]


async def test_order_approved_during_cancel_stays_approved(shop: PurchaseHarness):
    slow = shop.process(tables=OvertakenTables(shop.tables, lambda: shop.report(PAID)))

    with pytest.raises(FailedPrecondition, match="the order is approved"):
        await slow.cancel_order(shop.orderid)

    assert (await shop.ticket()).status == APPROVED
    assert shop.statuses == [PRE_APPROVED, APPROVED]


async def test_order_canceled_while_paid_republishes_so_that_payment_refunds(shop: PurchaseHarness):
    tables = OvertakenTables(shop.tables, lambda: shop.purchase.cancel_order(shop.orderid))

    outcome = await shop.report(PAID, by=shop.process(tables=tables))

    assert outcome is Outcome.APPLIED
    assert (await shop.ticket()).status == CANCELED
    assert shop.statuses == [PRE_APPROVED, CANCELED, CANCELED]


@pytest.mark.parametrize("applied", [True, False])
async def test_cancel_with_a_lost_response_publishes_once(shop: PurchaseHarness, applied):
    purchase = shop.process(tables=LostResponseTables(shop.tables, applied=applied))

    canceled = await purchase.cancel_order(shop.orderid)

    assert canceled == await shop.ticket()
    assert shop.statuses == [PRE_APPROVED, CANCELED]


async def test_unanswered_ticket_is_republished_and_canceled_at_its_deadline(shop: PurchaseHarness):
    published = {second: await shop.sweep_after(1) for second in range(1, 300)}

    assert {second: events for second, events in published.items() if events} == {
        16: [(PRE_APPROVED, True)],
        47: [(PRE_APPROVED, True)],
        101: [(CANCELED, False)],
    }
    ticket = await shop.ticket()
    assert (ticket.status, ticket.reason, ticket.history[-1].cause) == (CANCELED, TIMEOUT, TIMEOUT)


async def test_deadline_before_the_first_reminder_is_kept():
    shop = await PurchaseHarness(deadline_seconds=10).check_out()

    assert await shop.sweep_after(9) == []
    assert await shop.sweep_after(2) == [(CANCELED, False)]


async def test_reserved_ticket_publishes_nothing_until_its_deadline(shop: PurchaseHarness):
    await shop.clock.advance(60)
    await shop.report(RESERVED)

    assert await shop.sweep_after(39) == [], "the deadline counts from checkout"
    assert await shop.sweep_after(2) == [(CANCELED, False)]
    assert (await shop.ticket()).reason == TIMEOUT


async def test_approved_ticket_is_republished_until_its_delivery_is_arranged(shop: PurchaseHarness):
    await shop.report(PAID)

    republished = [await shop.sweep_after(2 * DEADLINE) for _ in range(2)]
    await shop.report(DELIVERY_ARRANGED)

    assert republished == [[(APPROVED, True)]] * 2
    assert await shop.sweep_after(10 * DEADLINE) == []
    assert not shop.is_due
    assert (await shop.ticket()).status == APPROVED


@pytest.mark.parametrize("report", [RESERVE_FAILED, PAYMENT_FAILED])
async def test_failed_ticket_is_never_due(shop: PurchaseHarness, report):
    await shop.report(report)

    assert not shop.is_due
    assert await shop.sweep_after(10 * DEADLINE) == []


async def test_longer_deadline_applies_to_open_orders(shop: PurchaseHarness):
    await shop.report(RESERVED)
    changed = shop.process(deadline_seconds=3 * DEADLINE)

    assert await shop.sweep_after(DEADLINE + 1, by=changed) == []
    assert await shop.sweep_after(DEADLINE, by=changed) == []
    assert (await shop.ticket()).status == RESERVED
    assert await shop.sweep_after(DEADLINE, by=changed) == [(CANCELED, False)]


async def test_report_about_an_unknown_order_is_poison(shop: PurchaseHarness):
    with pytest.raises(NotFound):
        await shop.purchase.cancel_order("none")
    shop.orderid = "none"
    with pytest.raises(Poison, match="unknown-order"):
        await shop.report(PAID)


OTHER_ITEMS = (CartItem("blue", 99),)


@pytest.mark.parametrize(
    ("reports", "facts"),
    [
        ([], {"status": RESERVED, "items": OTHER_ITEMS}),
        ([RESERVED], {"status": PAID, "amount": 1}),
        ([RESERVED, PAID], {"status": DELIVERY_ARRANGED, "items": OTHER_ITEMS}),
    ],
)
async def test_report_that_contradicts_the_ticket_is_a_dead_letter(shop: PurchaseHarness, reports, facts):
    for status in reports:
        await shop.report(status, amount=300)
    before = await shop.ticket()

    with pytest.raises(Poison, match="contradicts-record"):
        await shop.report(**facts)

    assert await shop.ticket() == before


async def test_failed_ticket_answers_reports_that_contradict_it(shop: PurchaseHarness):
    await shop.report(RESERVED, amount=300)
    await shop.purchase.cancel_order(shop.orderid)

    await shop.report(PAID, amount=1)
    await shop.report(RESERVED, items=OTHER_ITEMS)

    assert shop.statuses == [PRE_APPROVED, CANCELED, CANCELED, CANCELED]


async def receive(shop: PurchaseHarness, ticket: TicketMessage, *, is_reminder: bool = False) -> Outcome:
    event = ticket_event(ticket, shop.runtime.new_id(), 0, is_reminder=is_reminder)
    received = Event.from_message(event.to_message(), "stock")
    return await shop.purchase.handlers({"stock": "stock"})[received.type](received)


async def test_event_is_checked_with_its_items(shop: PurchaseHarness):
    with pytest.raises(Poison, match="contradicts-record: items"):
        await receive(shop, TicketMessage(shop.orderid, RESERVED, OTHER_ITEMS))


async def test_approved_ticket_answers_an_event_only_if_it_is_a_reminder(shop: PurchaseHarness):
    paid = TicketMessage(shop.orderid, PAID, ())
    await receive(shop, paid)

    outcomes = [await receive(shop, paid), await receive(shop, paid, is_reminder=True)]

    assert outcomes == [Outcome.IGNORED, Outcome.APPLIED]
    assert shop.statuses == [PRE_APPROVED, APPROVED, APPROVED]


async def test_items_in_another_order_or_in_parts_do_not_contradict(shop: PurchaseHarness):
    await shop.report(RESERVED, items=(CartItem("blue", 1), CartItem("blue", 2)))

    assert (await shop.ticket()).status == RESERVED


@pytest.mark.parametrize("applied", [True, False])
async def test_add_without_a_commandid_is_not_retried(shop: PurchaseHarness, applied):
    await shop.purchase.create_cart("another")
    purchase = shop.process(tables=LostResponseTables(shop.tables, applied=applied))

    with pytest.raises(OutcomeUnknown):
        await purchase.add_item("another", "blue", 3, "")

    items = (await shop.purchase.get_cart("another")).items
    assert items == ((CartItem("blue", 3),) if applied else ())


@pytest.mark.parametrize("applied", [True, False])
async def test_set_without_a_commandid_is_retried(shop: PurchaseHarness, applied):
    await shop.purchase.create_cart("another")
    purchase = shop.process(tables=LostResponseTables(shop.tables, applied=applied))

    cart = await purchase.set_item("another", "blue", 3, "")

    assert cart == await shop.purchase.get_cart("another")
    assert cart.items == (CartItem("blue", 3),)


async def test_events_carry_the_time_of_publication(shop: PurchaseHarness):
    await shop.report(PAID)
    await shop.sweep_after(20)

    assert [each["time"] for each in shop.attributes] == [
        timestamp(START),
        timestamp(START),
        timestamp(START + 20),
    ]


async def test_abandoned_cart_expires_and_one_that_became_an_order_does_not():
    shop, days = PurchaseHarness(), 24 * 3600.0
    purchase = shop.use_cases(Purchase, REMINDERS, DEADLINE, 7 * days)
    for cartid in ("abandoned", "touched", "closed", "ordered"):
        await purchase.create_cart(cartid)
        await purchase.add_item(cartid, "blue", 1, "x")
    await purchase.close_cart("closed")
    await purchase.close_cart("ordered")
    await purchase.checkout("ordered")

    async with background(Expiry(shop.tables, shop.clock.runtime()).run()):
        await shop.clock.advance(6 * days)
        await purchase.add_item("touched", "blue", 1, "y")
        await shop.clock.advance(2 * days)

    assert {key.name for key in shop.tables.rows if key.kind == "Cart"} == {"touched", "ordered"}
    assert [key.kind for key in shop.tables.rows].count("OrderTicket") == 1
