"""The charge's rules: decided once, settled or refunded once; a declined charge stays declined."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.payment.charge import (
    CANCELED,
    CHARGED,
    CHARGING,
    DECLINED,
    SETTLED,
    Charge,
    canceled,
    decided,
    settled,
    with_reminder,
)

NOW = 9.0


def a_charge(status: str = CHARGED) -> Charge:
    return Charge("o", status, 1.0, amount=300)


def test_open_charge_is_settled_or_refunded():
    refunded = replace(a_charge(), status=CANCELED, refunded=300, settled_time=NOW)

    assert settled(a_charge(), NOW) == replace(a_charge(), status=SETTLED, settled_time=NOW)
    assert canceled(a_charge(), "o", 300, NOW) == refunded


@pytest.mark.parametrize("status", [SETTLED, DECLINED, CANCELED])
def test_other_charges_are_final(status):
    charge = a_charge(status)

    assert settled(charge, NOW) is charge
    assert canceled(charge, "o", 300, NOW) is charge


@pytest.mark.parametrize("refunded", [0, 300])
def test_intended_charge_is_decided_or_canceled_once(refunded):
    intended = replace(a_charge(CHARGING), reminders_sent=2)
    tombstone = replace(a_charge(CANCELED), time=NOW, refunded=refunded)

    assert settled(intended, NOW) is intended
    assert canceled(intended, "o", refunded, NOW) == tombstone
    assert decided(intended, CHARGED, NOW) == replace(a_charge(), time=NOW)
    assert decided(intended, DECLINED, NOW, reason="no").reason == "no"


@pytest.mark.parametrize("refunded", [0, 300])
def test_cancellation_without_a_charge_leaves_a_tombstone_with_the_refund(refunded):
    assert canceled(None, "o", refunded, NOW) == Charge("o", CANCELED, NOW, refunded=refunded)


steps = st.sampled_from(
    [lambda charge: settled(charge, NOW), with_reminder, lambda charge: canceled(charge, "o", 300, NOW)]
)


@given(st.sampled_from([CHARGED, SETTLED, DECLINED, CANCELED]), st.lists(steps))
def test_charge_ends_once_in_any_order_of_events(status, steps):
    charge = a_charge(status)
    statuses = [status]

    for step in steps:
        charge = step(charge)
        statuses += [charge.status] if charge.status != statuses[-1] else []

    assert statuses in ([status], [CHARGED, SETTLED], [CHARGED, CANCELED])
    assert (charge.orderid, charge.amount, charge.time) == ("o", 300, 1.0)
    assert (charge.settled_time is not None) == (len(statuses) == 2)
    assert charge.reminders_sent == steps.count(with_reminder)
