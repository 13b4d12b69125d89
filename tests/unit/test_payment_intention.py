"""Payment's intentions: no charge is forgotten by a process that dies between the provider and its commit."""

import pytest

from contract.tickets import CANCELED, PAID, PAYMENT_FAILED, RESERVED
from sagakit.consumer import Outcome
from sagakit.errors import Unavailable
from sagakit.tables import DUE
from sagakit.testing.clock import settled
from services.payment.charge import CANCELED as REFUNDED
from services.payment.charge import CHARGED, CHARGING, DECLINED
from tests.support.payment import TOO_MUCH, PaymentHarness, a_ticket


@pytest.fixture
async def shop() -> PaymentHarness:
    return PaymentHarness()


async def test_provider_is_asked_after_the_intention_is_committed(shop: PaymentHarness):
    rows = []

    async def note() -> None:
        rows.append(shop.row)

    shop.provider.before_charging = note
    await shop.payment.charge("e1", a_ticket(RESERVED))

    (row,) = rows
    assert (row["status"], row["amount"], row["repeats"]) == (CHARGING, 300, 0)
    assert DUE in row
    assert await shop.status() == CHARGED


@pytest.mark.parametrize(
    ("amount", "end", "replies"),
    [(300, CHARGED, [(PAID, 300, None)]), (TOO_MUCH, DECLINED, [(PAYMENT_FAILED, TOO_MUCH, "too much")])],
)
async def test_intention_of_a_crashed_process_is_resumed(shop: PaymentHarness, amount, end, replies):
    await shop.crash_while_charging(amount)

    await shop.payment.resume("o")
    await shop.payment.resume("o")
    await shop.payment.charge("e2", a_ticket(RESERVED, amount))

    assert (await shop.status(), shop.replies) == (end, replies * 2)
    assert shop.provider.calls == ["charge"] * 2, "the crashed process's and one of the next"
    assert (DUE in shop.row) == (end == CHARGED)


async def test_intention_is_resumed_with_the_first_amount(shop: PaymentHarness):
    await shop.crash_while_charging()

    await shop.payment.charge("e2", a_ticket(RESERVED, amount=999))

    assert (shop.provider.balance, shop.replies) == (300, [(PAID, 300, None)])


@pytest.mark.parametrize("amount", [None, 0])
async def test_request_without_an_amount_does_not_replace_an_intention(shop: PaymentHarness, amount):
    await shop.crash_while_charging()

    outcome = await shop.payment.charge("e2", a_ticket(RESERVED, amount))

    assert (outcome, await shop.status(), shop.statuses) == (Outcome.IGNORED, CHARGING, [])


async def test_unavailable_provider_leaves_the_intention(shop: PaymentHarness):
    shop.provider.unavailable = True

    with pytest.raises(Unavailable):
        await shop.payment.charge("e1", a_ticket(RESERVED))
    with pytest.raises(Unavailable):
        await shop.payment.resume("o")

    assert (await shop.status(), shop.statuses) == (CHARGING, [])
    assert DUE in shop.row


async def test_canceled_intention_is_refunded(shop: PaymentHarness):
    """The charge of a crashed process, of an order that failed meanwhile."""
    await shop.crash_while_charging()

    await shop.payment.cancel("e2", a_ticket(CANCELED))
    await shop.payment.resume("o")

    charge = await shop.payment.get_payment("o")
    assert (charge.status, charge.amount, charge.refunded) == (REFUNDED, 300, 300)
    assert (shop.provider.balance, shop.statuses, DUE in shop.row) == (0, [], False)


async def test_intention_whose_cancellation_crashed_is_recorded_as_canceled(shop: PaymentHarness):
    """Canceled at the provider, and crashed before the commit."""
    await shop.crash_while_charging()
    await shop.provider.cancel("o")

    await shop.payment.resume("o")

    charge = await shop.payment.get_payment("o")
    assert (charge.status, charge.refunded, shop.provider.balance) == (REFUNDED, 300, 0)
    assert shop.statuses == []


async def test_resumed_charge_leaves_what_another_process_has_decided(shop: PaymentHarness):
    await shop.crash_while_charging()
    shop.meanwhile(lambda: shop.process().charge("e1", a_ticket(RESERVED)))

    await shop.payment.resume("o")

    assert (await shop.status(), shop.statuses, shop.provider.balance) == (CHARGED, [PAID], 300)


async def test_unknown_order_is_not_resumed(shop: PaymentHarness):
    await shop.payment.resume("o")

    assert (shop.provider.calls, shop.tables.rows) == ([], {})


async def test_reminder_of_an_intention_resumes_it_and_publishes_nothing(shop: PaymentHarness):
    await shop.crash_while_charging()
    before = shop.row
    shop.provider.calls.clear()

    changes = shop.payment.remind("o", before, before["time"], "r1")
    called_in_the_transaction = list(shop.provider.calls)
    changes.on_commit()
    await settled()

    (after,) = changes.writes.values()
    assert (changes.result, changes.events, called_in_the_transaction) == (None, (), [])
    assert (after["status"], after["repeats"]) == (CHARGING, 1)
    assert after[DUE] > before[DUE]
    assert (shop.provider.calls, await shop.status(), shop.row["repeats"]) == (["charge"], CHARGED, 0)
    assert shop.statuses == [PAID]
