"""Stock's transactions: each order is decided once; its reservation is sold or released."""

from dataclasses import replace

import pytest

from contract.tickets import (
    APPROVED,
    CANCELED,
    PAID,
    PRE_APPROVED,
    RESERVE_FAILED,
    RESERVED,
    TicketMessage,
)
from sagakit.consumer import Outcome
from sagakit.errors import Poison
from sagakit.events import REMINDER_ATTRIBUTE
from sagakit.tables import DUE
from services.stock.inventory import RELEASED, SOLD, Shard
from tests.support.stock import StockHarness, a_ticket


@pytest.fixture
async def shop() -> StockHarness:
    shop = StockHarness()
    await shop.put()
    return shop


async def test_repeated_request_gets_the_first_reply(shop: StockHarness):
    """Trap: a duplicate taken for a failure, so that a good order is rolled back."""
    await shop.put(stock=3)
    await shop.stock.reserve("e1", a_ticket(PRE_APPROVED))
    await shop.put(stock=3, price=999)

    outcome = await shop.stock.reserve("e2", a_ticket(PRE_APPROVED))

    assert outcome is Outcome.APPLIED
    assert [(ticket.status, ticket.amount) for ticket in shop.published] == [(RESERVED, 300)] * 2
    assert await shop.units() == Shard(reserved=3)
    # Only reminders have the attribute: purchase would have to answer them.
    assert [set(each) for each in shop.attributes] == [{"time", "status"}] * 2


async def test_rejection_is_stored_and_repeated(shop: StockHarness):
    await shop.stock.reserve("e1", a_ticket(PRE_APPROVED, count=11))
    await shop.put(stock=100)

    await shop.stock.reserve("e2", a_ticket(PRE_APPROVED, count=11))

    replies = [(ticket.status, ticket.reason) for ticket in shop.published]
    assert replies == [(RESERVE_FAILED, "sold-out: blue")] * 2
    assert await shop.units() == Shard(available=100)


async def test_cancellation_before_the_order_leaves_a_tombstone(shop: StockHarness):
    """Trap: a late order reserves units that are never released."""
    first = await shop.stock.release("e1", a_ticket(CANCELED))

    late = await shop.stock.reserve("e2", a_ticket(PRE_APPROVED))

    assert (first, late) == (Outcome.APPLIED, Outcome.IGNORED)
    assert (await shop.status(), shop.statuses) == (RELEASED, [])
    assert await shop.units() == Shard(available=10)


async def test_approval_without_a_reservation_changes_nothing(shop: StockHarness):
    before = dict(shop.tables.rows)

    outcome = await shop.stock.sell("e1", a_ticket(APPROVED))

    assert outcome is Outcome.IGNORED
    assert shop.tables.rows == before


@pytest.mark.parametrize("approved", [a_ticket(APPROVED, 99), replace(a_ticket(APPROVED), amount=1)])
async def test_approval_of_other_than_what_was_reserved_is_a_dead_letter(shop: StockHarness, approved):
    await shop.stock.reserve("e1", a_ticket(PRE_APPROVED))

    with pytest.raises(Poison, match="contradicts-record"):
        await shop.stock.sell("e2", approved)

    assert await shop.units() == Shard(available=7, reserved=3)


async def test_reservation_is_released_whatever_the_event_lists(shop: StockHarness):
    await shop.stock.reserve("e1", a_ticket(PRE_APPROVED))

    await shop.stock.release("e2", a_ticket(CANCELED, 99))

    assert await shop.units() == Shard(available=10)


@pytest.mark.parametrize(
    ("end", "status", "units"),
    [("sell", SOLD, Shard(available=7, sold=3)), ("release", RELEASED, Shard(available=10))],
)
async def test_reservation_is_settled_once_and_replies_no_more(shop: StockHarness, end, status, units):
    await shop.stock.reserve("e1", a_ticket(PRE_APPROVED))

    outcomes = [await getattr(shop.stock, end)(eventid, a_ticket(status)) for eventid in ("e2", "e2", "e3")]
    late = [
        await shop.stock.sell("e4", a_ticket(APPROVED)),
        await shop.stock.release("e5", a_ticket(CANCELED)),
        await shop.stock.reserve("e6", a_ticket(PRE_APPROVED)),
    ]

    assert outcomes == [Outcome.APPLIED, Outcome.IGNORED, Outcome.IGNORED]
    assert late == [Outcome.IGNORED] * 3
    assert (await shop.status(), shop.statuses) == (status, [RESERVED])
    assert await shop.units() == units


async def test_only_an_open_reservation_is_due(shop: StockHarness):
    await shop.stock.reserve("e1", a_ticket(PRE_APPROVED))
    reserved = DUE in shop.reservation()
    await shop.stock.sell("e2", a_ticket(APPROVED))
    await shop.stock.reserve("e3", a_ticket(PRE_APPROVED, count=99, orderid="rejected"))

    assert reserved
    assert DUE not in shop.reservation()
    assert DUE not in shop.reservation("rejected")


@pytest.mark.parametrize(("waives_payment", "reply"), [(False, (RESERVED, 300)), (True, (PAID, None))])
async def test_reminder_repeats_the_reply_with_growing_intervals(shop: StockHarness, waives_payment, reply):
    await shop.put(stock=11, waives_payment=waives_payment)
    await shop.stock.reserve("e1", a_ticket(PRE_APPROVED))
    before = shop.reservation()

    once = shop.stock.remind("o", before, before["time"], "r1")
    (after,) = once.writes.values()
    twice = shop.stock.remind("o", after, before["time"], "r2")

    assert once.result == "purchase", "the service whose reply it waits for"
    (event,) = once.events
    ticket = TicketMessage.from_event(event)
    assert (ticket.status, ticket.amount, event.eventid) == (*reply, "r1")
    assert event.attributes[REMINDER_ATTRIBUTE] == "true"
    assert [each["repeats"] for changes in (once, twice) for each in changes.writes.values()] == [1, 2]
    assert after[DUE] > before[DUE]


async def test_reservation_whose_shard_is_missing_stays_as_it_is(shop: StockHarness):
    """Its units must not vanish: the event is nacked and logged as a defect until the shard is restored."""
    await shop.stock.reserve("e1", a_ticket(PRE_APPROVED))
    (missing,) = shop.shards
    row = shop.tables.rows.pop(missing)

    with pytest.raises(LookupError, match="shard 0 of blue is missing"):
        await shop.stock.sell("e2", a_ticket(APPROVED))

    shop.tables.rows[missing] = row
    assert await shop.stock.sell("e2", a_ticket(APPROVED)) is Outcome.APPLIED
    assert await shop.units() == Shard(available=7, sold=3)
