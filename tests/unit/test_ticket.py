"""The ticket's table of moves: the saga's rules, in any order and any repetition of reports."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.tickets import (
    APPROVED,
    CANCELED,
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
from sagakit.errors import FailedPrecondition
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
    opened,
    reminded,
    reported,
)

FOREIGN = [CANCELLATION, PRE_APPROVED, APPROVED, CANCELED, "a-word-of-the-future", ""]
"""Words that are nobody's report."""
DEADLINE = 100.0


def a_ticket(status: str = PRE_APPROVED) -> Ticket:
    ticket = opened("order", "cart", (CartItem("blue", 3),), 1.0)
    if status == PRE_APPROVED:
        return ticket
    history = (*ticket.history, HistoryEntry(status, 2.0, status, "e0"))
    return Ticket(ticket.orderid, ticket.cartid, ticket.items, status, history)


def a_report(status: str, eventid: str = "e1", *, again: bool = False, **facts) -> Report:
    return Report(eventid, status, 3.0, is_reminder=again, **facts)


# The table of the design, spelled out a second time.
OR_WITHDRAWN = "client cancels, or deadline"
COLUMNS = (RESERVED, RESERVE_FAILED, PAID, PAYMENT_FAILED, OR_WITHDRAWN, DELIVERY_ARRANGED)
FAILED_ROW = ("say", "–", "say", "–", "refused", "–")
TABLE = {
    PRE_APPROVED: (
        "→ reserved",
        "→ reserve-failed",
        "→ approved, say",
        "→ payment-failed, say",
        "→ canceled",
        "–",
    ),
    RESERVED: ("–", "–", "→ approved, say", "→ payment-failed, say", "→ canceled", "–"),
    APPROVED: ("say if again", "–", "say if again", "–", "refused", "noted"),
    RESERVE_FAILED: FAILED_ROW,
    PAYMENT_FAILED: FAILED_ROW,
    CANCELED: ("say", "–", "say", "–", "returned as it is", "–"),
}


def what_a_report_does(status: str, report: str) -> str:
    before = a_ticket(status)
    after, say = reported(before, a_report(report))
    asked_again, say_again = reported(before, a_report(report, again=True))
    assert after == asked_again, "a repetition moves a ticket as the first word would"
    became = f"→ {after.status}" if after.status != status else "noted" if after != before else ""
    said = "say" if say else "say if again" if say_again else ""
    return ", ".join(filter(None, (became, said))) or "–"


def what_a_withdrawal_does(status: str) -> str:
    before = a_ticket(status)
    try:
        after = cancel(before, CLIENT, 3.0)
    except FailedPrecondition:
        return "refused"
    return "returned as it is" if after is before else f"→ {after.status}"


@pytest.mark.parametrize("status", TABLE)
@pytest.mark.parametrize("column", COLUMNS)
def test_a_ticket_moves_as_the_table_of_the_design_says(status, column):
    does = what_a_withdrawal_does(status) if column == OR_WITHDRAWN else what_a_report_does(status, column)

    assert does == TABLE[status][COLUMNS.index(column)]


def test_the_table_of_the_design_names_every_status_and_every_report():
    assert set(TABLE) == set(TRANSITIONS)
    assert {*COLUMNS} - {OR_WITHDRAWN} == {*REPORTS}


@pytest.mark.parametrize("status", TRANSITIONS)
@pytest.mark.parametrize("word", FOREIGN)
@pytest.mark.parametrize("again", [False, True])
def test_a_word_that_is_no_report_changes_nothing(status, word, again):
    before = a_ticket(status)

    after, say = reported(before, a_report(word, again=again))

    assert after is before
    assert not say


def test_every_status_is_open_or_approved_or_failed():
    assert {*OPEN, *FAILED, APPROVED} == set(TRANSITIONS)
    assert {status for status, reports in TRANSITIONS.items() if CANCELLATION in reports} == OPEN


def test_paid_approves_no_ticket_that_has_failed():
    """Trap: `paid` approving a ticket from any status, a failed one included."""
    for status in FAILED:
        after, say = reported(a_ticket(status), a_report(PAID))

        assert after == a_ticket(status)
        assert say, "whoever took the money has to hear that the order failed"


@pytest.mark.parametrize("report", [RESERVED, PAID])
def test_an_approved_ticket_is_said_again_only_to_somebody_who_asks_again(report):
    assert reported(a_ticket(APPROVED), a_report(report)) == (a_ticket(APPROVED), False)
    assert reported(a_ticket(APPROVED), a_report(report, again=True)) == (a_ticket(APPROVED), True)


def test_a_move_is_noted_with_its_time_and_the_event_that_caused_it():
    after, _ = reported(a_ticket(), a_report(RESERVED, "e7", amount=300))

    assert after.history[-1] == HistoryEntry(RESERVED, 3.0, RESERVED, "e7")
    assert after.amount == 300


def test_an_amount_stays_what_it_was_until_another_one_is_named():
    reserved_for_300, _ = reported(a_ticket(), a_report(RESERVED, amount=300))

    silent, _ = reported(reserved_for_300, a_report(PAID))
    other, _ = reported(reserved_for_300, a_report(PAID, amount=299))

    assert (silent.amount, other.amount) == (300, 299)


@pytest.mark.parametrize("report", [RESERVED, PAID])
def test_a_ticket_that_has_not_failed_names_no_reason(report):
    after, _ = reported(a_ticket(), a_report(report, reason="whatever that means"))

    assert after.reason is None


def test_a_delivery_is_noted_once_and_leaves_the_ticket_approved():
    once, _ = reported(a_ticket(APPROVED), a_report(DELIVERY_ARRANGED, "e8"))
    twice, say = reported(once, a_report(DELIVERY_ARRANGED, "e9"))

    assert (once.status, once.history[-1]) == (
        APPROVED,
        HistoryEntry(DELIVERY_ARRANGED, 3.0, DELIVERY_ARRANGED, "e8"),
    )
    assert once.delivery_arranged
    assert (twice, say) == (once, False)


def test_a_ticket_that_failed_says_why():
    after, _ = reported(a_ticket(), a_report(RESERVE_FAILED, reason="sold-out: blue"))

    assert after.reason == "sold-out: blue"


@pytest.mark.parametrize("status", sorted(OPEN))
def test_an_open_order_can_be_canceled_again_and_again(status):
    canceled = cancel(a_ticket(status), CLIENT, 5.0)

    assert (canceled.status, canceled.reason) == (CANCELED, "client")
    assert canceled.history[-1] == HistoryEntry(CANCELED, 5.0, CLIENT)
    assert cancel(canceled, CLIENT, 9.0) is canceled


@pytest.mark.parametrize("status", [APPROVED, RESERVE_FAILED, PAYMENT_FAILED])
def test_an_order_that_has_ended_otherwise_cannot_be_canceled_and_says_how_it_ended(status):
    with pytest.raises(FailedPrecondition, match=f"the order is {status}"):
        cancel(a_ticket(status), CLIENT, 5.0)


@pytest.mark.parametrize("status", sorted(OPEN))
def test_an_open_order_is_canceled_at_its_deadline_and_not_before(status):
    before = reminded(a_ticket(status), 1.0 + DEADLINE - 0.001, DEADLINE)
    after = reminded(a_ticket(status), 1.0 + DEADLINE, DEADLINE)

    assert (before.status, before.reminders_sent) == (status, 1)
    assert (after.status, after.reason, after.reminders_sent) == (CANCELED, TIMEOUT, 0)


def test_an_approved_order_has_no_deadline():
    late = reminded(a_ticket(APPROVED), 1e9, DEADLINE)

    assert (late.status, late.reminders_sent) == (APPROVED, 1)


def test_a_move_begins_the_count_of_repeats_anew():
    repeated = reminded(reminded(a_ticket(), 2.0, DEADLINE), 3.0, DEADLINE)

    moved, _ = reported(repeated, a_report(PAID))
    delivered, _ = reported(reminded(moved, 4.0, DEADLINE), a_report(DELIVERY_ARRANGED))

    assert (repeated.reminders_sent, moved.reminders_sent, delivered.reminders_sent) == (2, 0, 0)


def test_who_waits_for_an_answer():
    waiting = {status for status in TRANSITIONS if a_ticket(status).awaits_reply}
    delivered, _ = reported(a_ticket(APPROVED), a_report(DELIVERY_ARRANGED))

    assert waiting == {PRE_APPROVED, APPROVED}
    assert not delivered.awaits_reply


reports = st.builds(
    a_report,
    st.sampled_from([*REPORTS, *FOREIGN]),
    st.uuids().map(str),
    again=st.booleans(),
    amount=st.none() | st.integers(0, 1000),
    reason=st.none() | st.text(max_size=5),
)
cancellations = st.just(CLIENT)
looks = st.floats(1, 2 * DEADLINE).map(lambda seconds: 1.0 + seconds)
"""When the watch comes by."""


def after_step(ticket: Ticket, step: Report | str | float) -> tuple[Ticket, bool]:
    """The ticket after whatever happens to it, and whether it is said."""
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


@given(st.lists(reports | cancellations | looks, max_size=14))
def test_whatever_happens_in_whatever_order_a_ticket_moves_on_and_ends_once(steps):
    ticket = a_ticket()
    said: list[str] = []

    for step in steps:
        before = ticket
        ticket, say = after_step(before, step)
        said += [ticket.status] if say else []
        assert ticket.history[: len(before.history)] == before.history, "what has happened stays"

    statuses = [entry.status for entry in ticket.history if entry.status != DELIVERY_ARRANGED]
    assert statuses[0] == PRE_APPROVED
    assert statuses[-1] == ticket.status
    assert len(statuses) == len(set(statuses)) <= 3, "no status is ever left and come back to"
    assert len(ticket.history) - len(statuses) <= 1, "a delivery is noted once"
    assert (statuses.count(APPROVED) + sum(status in FAILED for status in statuses)) <= 1
    assert set(said) <= {ticket.status}, "only how it ended is ever published"
    assert (ticket.reason is None) or ticket.status in FAILED


@given(st.lists(reports, max_size=8), st.floats(1 + DEADLINE, 1e6))
def test_whatever_was_reported_an_order_has_ended_once_its_deadline_was_kept(heard, late):
    ticket = a_ticket()
    for report in heard:
        ticket, _ = reported(ticket, report)

    after = reminded(ticket, late, DEADLINE)

    assert after.status not in OPEN
    assert (after.status == ticket.status) == (ticket.status not in OPEN)


@given(st.permutations([RESERVED, PAID]), st.integers(1, 3))
def test_reports_that_overtake_one_another_lead_to_the_same_end(order, copies):
    ticket = a_ticket()

    for status in [each for each in order for _ in range(copies)]:
        ticket, _ = reported(ticket, a_report(status))

    assert ticket.status == APPROVED
