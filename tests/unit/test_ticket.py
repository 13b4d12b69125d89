"""The ticket's transitions: the saga's rules, for reports in any order and any number of repetitions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.tickets import (
    APPROVED,
    CANCELED,
    CONTRADICTS_RECORD,
    DELIVERY_ARRANGED,
    FAILED,
    OPEN,
    PAID,
    PAYMENT_FAILED,
    PRE_APPROVED,
    RESERVE_FAILED,
    RESERVED,
    CartItem,
)
from sagakit.errors import FailedPrecondition, Poison
from services.purchase.ticket import (
    CANCELLATION,
    CLIENT,
    REPORTS,
    TIMEOUT,
    TRANSITIONS,
    HistoryEntry,
    Report,
    Ticket,
    cancel,
    check,
    opened,
    reminded,
    reported,
)

NO_REPORTS = [CANCELLATION, PRE_APPROVED, APPROVED, CANCELED, "a-status-of-the-future", ""]
"""Statuses that no service reports."""
DEADLINE = 100.0


def a_ticket(status: str = PRE_APPROVED) -> Ticket:
    ticket = opened("order", "cart", (CartItem("blue", 3),), 1.0)
    if status == PRE_APPROVED:
        return ticket
    history = (*ticket.history, HistoryEntry(status, 2.0, status, "e0"))
    return Ticket(ticket.orderid, ticket.cartid, ticket.items, status, history)


def a_report(status: str, eventid: str = "e1", *, reminder: bool = False, **facts) -> Report:
    return Report(eventid, status, 3.0, is_reminder=reminder, **facts)


# The table of the design, spelled out a second time.
CANCEL = "client cancels, or deadline"
COLUMNS = (RESERVED, RESERVE_FAILED, PAID, PAYMENT_FAILED, CANCEL, DELIVERY_ARRANGED)
FAILED_ROW = ("republish", "–", "republish", "–", "rejected", "–")
REMINDED = "republish if it is a reminder"
PAID_OR_NOT = ("→ approved, publish", "→ payment-failed, publish", "→ canceled")
TABLE = {
    PRE_APPROVED: ("→ reserved", "→ reserve-failed", *PAID_OR_NOT, "–"),
    RESERVED: ("–", "–", *PAID_OR_NOT, "–"),
    APPROVED: (REMINDED, "–", REMINDED, "–", "rejected", "recorded"),
    RESERVE_FAILED: FAILED_ROW,
    PAYMENT_FAILED: FAILED_ROW,
    CANCELED: (*FAILED_ROW[:4], "returned", "–"),
}


def effect_of_report(status: str, report: str) -> str:
    before = a_ticket(status)
    after, publish = reported(before, a_report(report))
    after_reminder, publish_reminded = reported(before, a_report(report, reminder=True))
    assert after == after_reminder, "a reminder changes the ticket as the first report does"
    if after.status != status:
        return f"→ {after.status}" + (", publish" if publish else "")
    if after != before:
        return "recorded"
    return "republish" if publish else REMINDED if publish_reminded else "–"


def effect_of_cancel(status: str) -> str:
    before = a_ticket(status)
    try:
        after = cancel(before, CLIENT, 3.0)
    except FailedPrecondition:
        return "rejected"
    return "returned" if after is before else f"→ {after.status}"


@pytest.mark.parametrize("status", TABLE)
@pytest.mark.parametrize("column", COLUMNS)
def test_transition_is_the_one_of_the_design(status, column):
    """Trap, among others: `paid` approving a ticket from any status, a failed one included."""
    effect = effect_of_cancel(status) if column == CANCEL else effect_of_report(status, column)

    assert effect == TABLE[status][COLUMNS.index(column)]


def test_design_has_every_status_and_report():
    assert set(TABLE) == set(TRANSITIONS)
    assert {*COLUMNS} - {CANCEL} == {*REPORTS}


def test_every_status_is_open_or_approved_or_failed():
    assert {*OPEN, *FAILED, APPROVED} == set(TRANSITIONS)
    assert {status for status, reports in TRANSITIONS.items() if CANCELLATION in reports} == OPEN


@pytest.mark.parametrize("status", TRANSITIONS)
@pytest.mark.parametrize("foreign", NO_REPORTS)
@pytest.mark.parametrize("reminder", [False, True])
def test_status_that_is_no_report_changes_nothing(status, foreign, reminder):
    before = a_ticket(status)

    after, publish = reported(before, a_report(foreign, reminder=reminder))

    assert after is before
    assert not publish


def test_history_entry_names_the_time_and_event_of_the_report():
    after, _ = reported(a_ticket(), a_report(RESERVED, "e7", amount=300))

    assert after.history[-1] == HistoryEntry(RESERVED, 3.0, RESERVED, "e7")
    assert after.amount == 300


def test_amount_is_kept_until_another_is_reported():
    reserved_for_300, _ = reported(a_ticket(), a_report(RESERVED, amount=300))

    without, _ = reported(reserved_for_300, a_report(PAID))
    other, _ = reported(reserved_for_300, a_report(PAID, amount=299))

    assert (without.amount, other.amount) == (300, 299)


@pytest.mark.parametrize(("report", "reason"), [(RESERVED, None), (PAID, None), (RESERVE_FAILED, "why")])
def test_only_a_failed_ticket_has_a_reason(report, reason):
    after, _ = reported(a_ticket(), a_report(report, reason="why"))

    assert after.reason == reason


def test_delivery_is_recorded_once():
    once, _ = reported(a_ticket(APPROVED), a_report(DELIVERY_ARRANGED, "e8"))
    twice, publish = reported(once, a_report(DELIVERY_ARRANGED, "e9"))

    assert once.history[-1] == HistoryEntry(DELIVERY_ARRANGED, 3.0, DELIVERY_ARRANGED, "e8")
    assert (once.status, once.delivery_arranged) == (APPROVED, True)
    assert (twice, publish) == (once, False)


@pytest.mark.parametrize("status", sorted(OPEN))
def test_open_order_is_canceled_at_its_deadline_and_not_before(status):
    before = reminded(a_ticket(status), 1.0 + DEADLINE - 0.001, DEADLINE)
    after = reminded(a_ticket(status), 1.0 + DEADLINE, DEADLINE)

    assert (before.status, before.reminders_sent) == (status, 1)
    assert (after.status, after.reason, after.reminders_sent) == (CANCELED, TIMEOUT, 0)


def test_history_entry_resets_the_count_of_reminders():
    waiting = reminded(reminded(a_ticket(), 2.0, DEADLINE), 3.0, DEADLINE)

    approved, _ = reported(waiting, a_report(PAID))
    arranged, _ = reported(reminded(approved, 4.0, DEADLINE), a_report(DELIVERY_ARRANGED))

    assert [each.reminders_sent for each in (waiting, approved, arranged)] == [2, 0, 0]


def test_statuses_that_await_a_reply():
    awaiting = {status for status in TRANSITIONS if a_ticket(status).awaits_reply}
    arranged, _ = reported(a_ticket(APPROVED), a_report(DELIVERY_ARRANGED))

    assert awaiting == {PRE_APPROVED, APPROVED}
    assert not arranged.awaits_reply
    assert [a_ticket(status).awaits_reply_of for status in (PRE_APPROVED, APPROVED)] == ["stock", "delivery"]


@pytest.mark.parametrize("status", [RESERVED, DELIVERY_ARRANGED])
def test_report_that_would_advance_an_order_must_agree_with_its_ticket(status):
    report = a_report(status, items=(CartItem("blue", 4),))

    with pytest.raises(Poison, match=CONTRADICTS_RECORD):
        check(a_ticket(), report)


@pytest.mark.parametrize("status", [RESERVE_FAILED, PAYMENT_FAILED])
def test_report_of_a_failure_need_not_agree_with_its_ticket(status):
    """The order fails in any case, and services that hold something of it compensate."""
    check(a_ticket(), a_report(status, items=(CartItem("blue", 4),)))


reports = st.builds(
    a_report,
    st.sampled_from([*REPORTS, *NO_REPORTS]),
    st.uuids().map(str),
    reminder=st.booleans(),
    amount=st.none() | st.integers(0, 1000),
    reason=st.none() | st.text(max_size=5),
)
cancellations = st.just(CLIENT)
sweeps = st.floats(1, 2 * DEADLINE).map(lambda seconds: 1.0 + seconds)
"""Times at which a sweep finds the ticket due."""


def after_step(ticket: Ticket, step: Report | str | float) -> tuple[Ticket, bool]:
    """Return the ticket after a report, cancellation or sweep, and whether it is published."""
    if isinstance(step, Report):
        return reported(ticket, step)
    if isinstance(step, float):
        after = reminded(ticket, step, DEADLINE)
        return after, after.status != ticket.status
    try:
        after = cancel(ticket, step, 3.0)
    except FailedPrecondition:
        assert ticket.status not in OPEN
        return ticket, False
    return after, after is not ticket


@given(st.lists(reports | cancellations | sweeps, max_size=14))
def test_ticket_ends_once_in_any_order_of_events(steps):
    ticket = a_ticket()
    published: list[str] = []

    for step in steps:
        before = ticket
        ticket, publish = after_step(before, step)
        published += [ticket.status] if publish else []
        assert ticket.history[: len(before.history)] == before.history, "history is only appended to"

    statuses = [entry.status for entry in ticket.history if entry.status != DELIVERY_ARRANGED]
    assert statuses[0] == PRE_APPROVED
    assert statuses[-1] == ticket.status
    assert len(statuses) == len(set(statuses)) <= 3, "no status occurs twice"
    assert len(ticket.history) - len(statuses) <= 1, "a delivery is recorded once"
    assert (statuses.count(APPROVED) + sum(status in FAILED for status in statuses)) <= 1
    assert set(published) <= {ticket.status}, "only the final status is published"
    assert (ticket.reason is None) or ticket.status in FAILED


@given(st.lists(reports, max_size=8), st.floats(1 + DEADLINE, 1e6))
def test_no_order_is_open_after_its_deadline(steps, late):
    ticket = a_ticket()
    for report in steps:
        ticket, _ = reported(ticket, report)

    after = reminded(ticket, late, DEADLINE)

    assert after.status not in OPEN
    assert (after.status == ticket.status) == (ticket.status not in OPEN)
