"""What becomes of a charge: settled or given back, once, and a refusal stays one."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.payment.charge import (
    CANCELED,
    CHARGED,
    DECLINED,
    SETTLED,
    Charge,
    canceled,
    settled,
    with_reminder,
)

NOW = 9.0
STATUSES = (CHARGED, SETTLED, DECLINED, CANCELED)


def a_charge(status: str = CHARGED) -> Charge:
    return Charge("o", status, 1.0, amount=300)


def test_the_charge_of_an_approved_order_is_there_to_stay():
    assert settled(a_charge(), NOW) == replace(a_charge(), status=SETTLED, settled_time=NOW)


def test_the_charge_of_a_failed_order_is_given_back():
    expected = replace(a_charge(), status=CANCELED, refunded=300, settled_time=NOW)

    assert canceled(a_charge(), "o", 300, NOW) == expected


@pytest.mark.parametrize("status", [SETTLED, DECLINED, CANCELED])
def test_what_is_settled_declined_or_canceled_stays_as_it_is(status):
    charge = a_charge(status)

    assert settled(charge, NOW) is charge
    assert canceled(charge, "o", 300, NOW) is charge


@pytest.mark.parametrize("refunded", [0, 300])
def test_a_cancellation_of_what_was_not_known_of_is_remembered_with_what_was_given_back(refunded):
    tombstone = canceled(None, "o", refunded, NOW)

    assert tombstone == Charge("o", CANCELED, NOW, refunded=refunded)
    assert tombstone.settled_time is None, "nothing of ours was settled"


def test_a_charge_counts_how_often_its_answer_was_repeated_and_is_otherwise_the_same():
    assert with_reminder(with_reminder(a_charge())) == replace(a_charge(), reminders_sent=2)


steps = st.sampled_from([settled, with_reminder, canceled])


@given(st.sampled_from(STATUSES), st.lists(steps))
def test_whatever_comes_in_whatever_order_a_charge_ends_once(status, steps):
    charge = a_charge(status)
    statuses = [status]

    for step in steps:
        if step is canceled:
            charge = canceled(charge, "o", 300, NOW)
        else:
            charge = with_reminder(charge) if step is with_reminder else settled(charge, NOW)
        statuses += [charge.status] if charge.status != statuses[-1] else []

    assert statuses in ([status], [CHARGED, SETTLED], [CHARGED, CANCELED])
    assert (charge.orderid, charge.amount, charge.time) == ("o", 300, 1.0)
    assert (charge.settled_time is not None) == (len(statuses) == 2)
