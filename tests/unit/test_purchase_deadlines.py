"""Orders are canceled at their deadline, whatever else happens; a fast clock delays no reminder for long."""

import pytest

from contract.tickets import APPROVED, CANCELED, PAID, PRE_APPROVED, RESERVED
from sagakit.due import MAX_AHEAD_SECONDS, decode_due
from sagakit.tables import DUE, Key
from services.purchase.storage import TICKET
from tests.support.usecases import DEADLINE, PurchaseHarness


@pytest.fixture
async def shop() -> PurchaseHarness:
    return await PurchaseHarness().check_out()


@pytest.mark.parametrize("status", [PRE_APPROVED, RESERVED])
async def test_deadline_is_kept_while_purchase_is_saturated(shop: PurchaseHarness, status: str):
    """A subscription that is missing counts as saturated, too."""
    if status == RESERVED:
        await shop.report(RESERVED)
    shop.is_saturated = True

    before = [await shop.sweep_after(seconds) for seconds in (20, 40, 30)]
    at_the_deadline = await shop.sweep_after(11)

    assert (before, at_the_deadline) == ([[]] * 3, [(CANCELED, False)])
    assert (await shop.ticket()).reason == "timeout"


async def test_report_from_the_backlog_of_a_canceled_order_is_answered(shop: PurchaseHarness):
    await shop.report(RESERVED)
    shop.is_saturated = True
    await shop.sweep_after(DEADLINE + 1)

    await shop.report(PAID)

    assert shop.statuses == [PRE_APPROVED, CANCELED, CANCELED], "payment refunds upon the answer"


async def test_deadline_beyond_what_a_due_may_be_ahead_is_kept():
    shop = await PurchaseHarness(deadline_seconds=7_200).check_out()
    await shop.report(RESERVED)
    ahead = []
    published = []

    for _ in range(13):
        due = decode_due(shop.tables.rows[Key(TICKET, shop.orderid)].entity[DUE])
        ahead.append(due - shop.clock.now())
        published += await shop.sweep_after(590)

    assert max(ahead) < MAX_AHEAD_SECONDS
    assert published == [(CANCELED, False)]


@pytest.mark.parametrize("hours", [1, 24 * 365])
async def test_order_of_a_process_whose_clock_was_fast_is_reminded(hours: int):
    shop = PurchaseHarness()
    shop.clock.step(3600 * hours)
    await shop.check_out()
    shop.clock.step(-3600 * hours)

    reminded = [await shop.sweep_after(1), await shop.sweep_after(31)]
    await shop.report(PAID)

    assert reminded == [[(PRE_APPROVED, True)]] * 2
    assert (await shop.ticket()).status == APPROVED
