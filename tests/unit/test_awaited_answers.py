"""A service beside delivery whose answer purchase awaits, by its declaration alone."""

import pytest

from contract.order_history import OrderEvent
from contract.reactions import handlers, ticket_handlers
from contract.tickets import (
    APPROVED,
    DELIVERY_ARRANGED,
    PAID,
    RESERVED,
    TicketMessage,
    answered_by,
    may_publish,
    ticket_event,
)
from sagakit.consumer import Outcome
from sagakit.errors import Poison
from sagakit.events import Event
from sagakit.tables import Key
from services.purchase.storage import TICKET
from tests.support.usecases import PurchaseHarness

GRANTED = "loyalty-granted"
TOPICS = {"com.example.loyalty": "loyalty", "com.example.delivery": "delivery"}


@pytest.fixture
async def shop() -> PurchaseHarness:
    """An approved order, of a purchase that awaits `loyalty` too."""
    shop = PurchaseHarness(also_awaits=("loyalty",))
    await shop.check_out()
    await shop.report(RESERVED)
    await shop.report(PAID)
    return shop


def an_answer(shop: PurchaseHarness, status: str = GRANTED, topic: str = "com.example.loyalty") -> Event:
    event = ticket_event(TicketMessage(shop.orderid, status, ()), shop.runtime.new_id(), 0)
    return Event.from_message(event.to_message(), topic)


async def receive(shop: PurchaseHarness, event: Event) -> Outcome:
    return await shop.purchase.handlers(TOPICS)[event.type](event)


async def test_approval_is_repeated_until_every_awaited_service_has_answered(shop: PurchaseHarness):
    """Loyalty lost the message: the reminder brings it again, and ends with the answer."""
    await shop.report(DELIVERY_ARRANGED)

    reminders = [await shop.sweep_after(31), await shop.sweep_after(61)]
    answered = await receive(shop, an_answer(shop))

    assert reminders == [[(APPROVED, True)]] * 2
    assert (answered, shop.is_due) == (Outcome.APPLIED, False)
    assert await shop.sweep_after(3_600) == []
    ticket = await shop.ticket()
    assert [entry.status for entry in ticket.history][-2:] == [DELIVERY_ARRANGED, GRANTED]
    assert (ticket.status, ticket.awaits_reply) == (APPROVED, False)


async def test_answer_of_one_service_does_not_stand_for_that_of_another(shop: PurchaseHarness):
    await receive(shop, an_answer(shop))

    assert (await shop.ticket()).awaits_reply_of == "delivery"
    assert await shop.sweep_after(31) == [(APPROVED, True)]

    await shop.report(DELIVERY_ARRANGED)
    assert not shop.is_due


async def test_repeated_answer_changes_nothing(shop: PurchaseHarness):
    await receive(shop, an_answer(shop))
    before = await shop.ticket()

    assert await receive(shop, an_answer(shop)) is Outcome.IGNORED
    assert await shop.ticket() == before


async def test_order_from_before_the_service_awaits_delivery_alone(shop: PurchaseHarness):
    """Its stored ticket is the same, byte for byte, as if nothing else were ever awaited."""
    older = PurchaseHarness()
    await older.check_out()
    await older.report(RESERVED)
    await older.report(PAID)
    entity = older.tables.rows[Key(TICKET, older.orderid)].entity
    older.also_awaits = ("loyalty",)
    newer = older.process()

    await older.report(DELIVERY_ARRANGED, by=newer)

    assert "also_awaits" not in entity
    assert not older.is_due
    stored = shop.tables.rows[Key(TICKET, shop.orderid)].entity
    assert stored["also_awaits"] == ["loyalty"]


async def test_answer_is_accepted_from_its_service_alone(shop: PurchaseHarness):
    forged = an_answer(shop, GRANTED, "com.example.delivery")

    assert await receive(shop, forged) is Outcome.UNKNOWN
    with pytest.raises(Poison, match="not-published-by: loyalty delivery-arranged"):
        await receive(shop, an_answer(shop, DELIVERY_ARRANGED))
    assert (await shop.ticket()).awaits_reply_of == "delivery"


async def test_answer_to_an_order_that_awaits_none_changes_nothing():
    shop = await PurchaseHarness().check_out()
    await shop.report(PAID)
    before = await shop.ticket()

    assert await receive(shop, an_answer(shop)) is Outcome.IGNORED
    assert await shop.ticket() == before


async def test_answer_before_the_approval_is_not_the_one_awaited():
    shop = await PurchaseHarness(also_awaits=("loyalty",)).check_out()
    before = await shop.ticket()

    assert await receive(shop, an_answer(shop)) is Outcome.IGNORED
    assert await shop.ticket() == before


@pytest.mark.parametrize(
    ("status", "service"), [(DELIVERY_ARRANGED, "delivery"), (APPROVED, None), ("teleported", None)]
)
def test_status_that_is_no_answer_has_no_service(status: str, service: str | None):
    assert answered_by(status) == service


@pytest.mark.parametrize(
    ("service", "status", "may"),
    [
        ("loyalty", GRANTED, True),
        ("loyalty", "loyalty", False),
        ("loyalty", "approved", False),
        ("stock", "stock-granted", False),
        ("payment", "payment-failed", True),
        ("pay", "payment-failed", False),
        ("reserve", "reserve-failed", False),
        ("purchase-audit", "purchase-audit-done", True),
    ],
)
def test_other_services_publish_statuses_that_begin_with_their_name(service: str, status: str, may: bool):
    assert may_publish(service, status) is may


def test_answer_is_an_event_of_its_service():
    ticket = TicketMessage("o", GRANTED, ())

    assert OrderEvent.from_event("loyalty", ticket, "t") == OrderEvent("loyalty", GRANTED, "t")
    assert OrderEvent.from_event("stock", ticket, "t") is None


async def test_services_ignore_answers_of_others():
    async def unexpected(*_: object) -> Outcome:
        raise AssertionError

    event = Event.from_message(
        ticket_event(TicketMessage("o", GRANTED, ()), "e", 0).to_message(), "com.example.loyalty"
    )

    assert await handlers({}, None, TOPICS)[event.type](event) is Outcome.IGNORED
    with pytest.raises(AssertionError):
        await ticket_handlers(unexpected, TOPICS)[event.type](event)
