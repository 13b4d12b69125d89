"""Payment's transactions: an order is charged at most once, whatever repeats or crashes in between."""

from collections.abc import Sequence

import pytest

from contract.tickets import (
    APPROVED,
    CANCELED,
    PAID,
    PAYMENT_FAILED,
    RESERVE_FAILED,
    RESERVED,
    TicketMessage,
)
from sagakit.consumer import Outcome
from sagakit.errors import Poison, Unavailable
from sagakit.events import REMINDER_ATTRIBUTE, timestamp
from sagakit.tables import DUE, Key, Row
from services.payment.charge import CANCELED as REFUNDED
from services.payment.charge import CHARGED, DECLINED, NO_AMOUNT, SETTLED
from tests.support.payment import BLUE, TOO_MUCH, PaymentHarness, a_ticket


@pytest.fixture
async def shop() -> PaymentHarness:
    return PaymentHarness()


async def test_repeated_request_gets_the_first_reply(shop: PaymentHarness):
    await shop.payment.charge("e1", a_ticket(RESERVED))

    outcome = await shop.payment.charge("e2", a_ticket(RESERVED, amount=999))

    assert (outcome, shop.provider.calls) == (Outcome.APPLIED, ["charge"])
    assert shop.replies == [(PAID, 300, None)] * 2
    # Only reminders have the attribute: purchase would have to answer them.
    assert [set(each) for each in shop.attributes] == [{"time", "status"}] * 2


async def test_first_reply_has_the_time_of_the_record(shop: PaymentHarness):
    """An order's history shows one time for it, whether it is read or received."""
    lookup = shop.tables.lookup

    async def slow_lookup(keys: Sequence[Key]) -> dict[Key, Row]:
        await shop.clock.advance(1)
        return await lookup(keys)

    shop.tables.lookup = slow_lookup

    await shop.payment.charge("e1", a_ticket(RESERVED))

    assert [each["time"] for each in shop.attributes] == [timestamp(shop.row["time"])]


async def test_declined_charge_is_stored_and_repeated(shop: PaymentHarness):
    await shop.payment.charge("e1", a_ticket(RESERVED, TOO_MUCH))
    shop.provider.limit = 10_000

    await shop.payment.charge("e2", a_ticket(RESERVED, TOO_MUCH))

    assert shop.replies == [(PAYMENT_FAILED, TOO_MUCH, "too much")] * 2
    assert (await shop.status(), shop.provider.balance) == (DECLINED, 0)


@pytest.mark.parametrize(
    ("amount", "reply"), [(None, (PAYMENT_FAILED, None, NO_AMOUNT)), (0, (PAID, 0, None))]
)
async def test_order_without_an_amount_is_decided_without_the_provider(shop: PaymentHarness, amount, reply):
    await shop.payment.charge("e1", a_ticket(RESERVED, amount))

    assert (shop.replies, shop.provider.calls) == ([reply], [])


async def test_failed_order_is_refunded_once(shop: PaymentHarness):
    await shop.payment.charge("e1", a_ticket(RESERVED))

    outcomes = [await shop.payment.cancel(f"e{n}", a_ticket(CANCELED)) for n in (2, 3)]

    charge = await shop.payment.get_payment("o")
    assert outcomes == [Outcome.APPLIED, Outcome.IGNORED]
    assert (charge.status, charge.amount, charge.refunded) == (REFUNDED, 300, 300)
    assert shop.provider.balance == 0
    assert charge.settled_time is not None


async def test_cancellation_before_the_charge_leaves_a_tombstone(shop: PaymentHarness):
    """Trap: a late `reserved` charges a canceled order."""
    await shop.payment.cancel("e1", a_ticket(CANCELED))

    outcome = await shop.payment.charge("e2", a_ticket(RESERVED))

    assert (outcome, shop.statuses, shop.provider.balance) == (Outcome.IGNORED, [], 0)
    assert shop.provider.calls == ["cancel"]


async def test_cancel_during_the_charge_leaves_nothing_charged(shop: PaymentHarness):
    shop.meanwhile(lambda: shop.payment.cancel("e1", a_ticket(CANCELED)))

    await shop.payment.charge("e2", a_ticket(RESERVED))

    assert (await shop.status(), shop.statuses, shop.provider.balance) == (REFUNDED, [], 0)


async def test_charge_rejected_as_canceled_publishes_nothing(shop: PaymentHarness):
    """A process canceled at the provider, and crashed before its commit."""
    await shop.provider.cancel("o")

    await shop.payment.charge("e1", a_ticket(RESERVED))

    assert (await shop.status(), shop.statuses, shop.provider.balance) == (REFUNDED, [], 0)


async def test_approval_of_another_amount_than_was_charged_is_a_dead_letter(shop: PaymentHarness):
    await shop.payment.charge("e1", a_ticket(RESERVED))

    with pytest.raises(Poison, match="contradicts-record: amount"):
        await shop.payment.settle("e2", a_ticket(APPROVED, 1))

    assert await shop.status() == CHARGED


async def test_settled_charge_replies_no_more(shop: PaymentHarness):
    await shop.payment.charge("e1", a_ticket(RESERVED))

    outcomes = [await shop.payment.settle(f"e{n}", a_ticket(APPROVED)) for n in (2, 3)]
    late = await shop.payment.charge("e4", a_ticket(RESERVED))

    assert (outcomes, late) == ([Outcome.APPLIED, Outcome.IGNORED], Outcome.IGNORED)
    assert (await shop.status(), shop.statuses, shop.provider.balance) == (SETTLED, [PAID], 300)


async def test_approval_without_a_charge_changes_nothing(shop: PaymentHarness):
    assert await shop.payment.settle("e1", a_ticket(APPROVED)) is Outcome.IGNORED
    assert shop.tables.rows == {}


async def test_rejection_by_stock_calls_the_provider_only_if_charged(shop: PaymentHarness):
    rejected = a_ticket(RESERVE_FAILED)

    assert await shop.payment.cancel_if_charged("e1", rejected) is Outcome.IGNORED
    assert shop.provider.calls == []
    await shop.payment.charge("e2", a_ticket(RESERVED))
    assert await shop.payment.cancel_if_charged("e3", rejected) is Outcome.APPLIED
    assert shop.provider.balance == 0


async def test_cancellation_that_did_not_reach_the_provider_is_not_committed(shop: PaymentHarness):
    """Else a redelivery would be a duplicate, and the charge never refunded."""
    await shop.payment.charge("e1", a_ticket(RESERVED))
    shop.provider.unavailable = True

    with pytest.raises(Unavailable):
        await shop.payment.cancel("e2", a_ticket(CANCELED))

    assert await shop.status() == CHARGED
    shop.provider.unavailable = False
    assert await shop.payment.cancel("e2", a_ticket(CANCELED)) is Outcome.APPLIED
    assert shop.provider.balance == 0


async def test_charge_lost_in_a_crash_is_refunded_and_recorded(shop: PaymentHarness):
    await shop.provider.charge("o", 300)

    await shop.payment.cancel("e1", a_ticket(CANCELED))

    assert (await shop.payment.get_payment("o")).refunded == 300
    assert shop.provider.balance == 0


async def test_refund_lost_in_a_crash_is_recorded_by_the_late_charge(shop: PaymentHarness):
    """Both processes crashed before their commits: the one that charged, and the one that canceled."""
    await shop.provider.charge("o", 300)
    await shop.provider.cancel("o")

    await shop.payment.charge("e1", a_ticket(RESERVED))
    await shop.payment.cancel("e2", a_ticket(CANCELED))

    charge = await shop.payment.get_payment("o")
    assert (charge.status, charge.amount, charge.refunded) == (REFUNDED, 300, 300)


@pytest.mark.parametrize(
    ("prepare", "amount", "status", "charged"),
    [("charge", TOO_MUCH, DECLINED, 0), ("settle", 300, SETTLED, 300), ("cancel", 300, REFUNDED, 0)],
)
async def test_cancel_of_a_charge_that_is_not_open_does_not_call_the_provider(
    shop: PaymentHarness, prepare, amount, status, charged
):
    await shop.payment.charge("e1", a_ticket(RESERVED, amount))
    if prepare != "charge":
        await getattr(shop.payment, prepare)("e2", a_ticket(APPROVED))
    calls = list(shop.provider.calls)

    outcome = await shop.payment.cancel("e3", a_ticket(PAYMENT_FAILED))

    assert (outcome, await shop.status()) == (Outcome.IGNORED, status)
    assert (shop.provider.calls, shop.provider.balance) == (calls, charged)


@pytest.mark.parametrize(
    ("first", "amount", "statuses", "balance"),
    [("charge", 300, [PAID] * 2, 300), ("charge", TOO_MUCH, [PAYMENT_FAILED] * 2, 0), ("cancel", 300, [], 0)],
)
async def test_overtaken_process_repeats_the_reply_of_the_first(
    shop: PaymentHarness, first, amount, statuses, balance
):
    """Both processes called the provider; only one may commit its response."""
    shop.meanwhile(lambda: getattr(shop.payment, first)("e1", a_ticket(RESERVED, amount)))

    await shop.process().charge("e2", a_ticket(RESERVED, amount))

    assert (shop.statuses, shop.provider.balance) == (statuses, balance)


async def test_reminder_repeats_the_reply_with_growing_intervals(shop: PaymentHarness):
    await shop.payment.charge("e1", a_ticket(RESERVED))
    before = shop.row

    once = shop.payment.remind("o", before, before["time"], "r1")
    (after,) = once.writes.values()
    twice = shop.payment.remind("o", after, before["time"], "r2")

    assert once.result
    (event,) = once.events
    assert TicketMessage.from_event(event) == TicketMessage("o", PAID, BLUE, 300)
    assert (event.eventid, event.attributes[REMINDER_ATTRIBUTE]) == ("r1", "true")
    assert [row["repeats"] for changes in (once, twice) for row in changes.writes.values()] == [1, 2]
    assert after[DUE] > before[DUE]


@pytest.mark.parametrize(("end", "status"), [("settle", SETTLED), ("cancel", REFUNDED)])
async def test_only_an_open_charge_is_due(shop: PaymentHarness, end, status):
    await shop.payment.charge("e1", a_ticket(RESERVED))
    due_while_open = DUE in shop.row

    await getattr(shop.payment, end)("e2", a_ticket(APPROVED))

    assert due_while_open
    assert DUE not in shop.row
    assert await shop.status() == status


async def test_neither_a_declined_charge_nor_a_tombstone_is_due(shop: PaymentHarness):
    await shop.payment.charge("e1", a_ticket(RESERVED, TOO_MUCH))
    await shop.payment.cancel("e2", TicketMessage("another", CANCELED, ()))

    assert not await shop.tables.due("Payment", "", "zz", 10)


async def test_charge_in_a_newer_versions_status_keeps_its_due(shop: PaymentHarness):
    await shop.payment.charge("e1", a_ticket(RESERVED))
    entity = {**shop.row, "status": "disputed"}

    changes = shop.payment.remind("o", entity, entity["time"], "r1")

    assert (changes.unchanged, changes.result) == (True, None)
