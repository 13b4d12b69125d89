"""The ticket's table of moves: the saga's rules, in any order and any repetition of reports."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
)
from sagakit.errors import NotAllowed
from services.purchase.ticket import (
    CLIENT,
    FAILED,
    MOVES,
    OPEN,
    REPORTS,
    SAID,
    TIMEOUT,
    WITHDRAWAL,
    Passage,
    Report,
    Ticket,
    opened,
    reminded,
    reported,
    withdrawn,
)

HEARD = [*REPORTS, WITHDRAWAL, CANCELED, APPROVED, "a-word-of-the-future"]
DEADLINE = 100.0


def a_ticket(status: str = PRE_APPROVED) -> Ticket:
    ticket = opened("order", "cart", (CartItem("blue", 3),), 1.0)
    if status == PRE_APPROVED:
        return ticket
    history = (*ticket.history, Passage(status, 2.0, status, "e0"))
    return Ticket(ticket.orderid, ticket.cartid, ticket.items, status, history)


def a_report(status: str, eventid: str = "e1", *, again: bool = False, **facts) -> Report:
    return Report(eventid, status, 3.0, again=again, **facts)


# The table of the design, spelled out a second time: (ticket is, report) → (ticket becomes, published).
TABLE = {
    (PRE_APPROVED, RESERVED): (RESERVED, False),
    (PRE_APPROVED, RESERVE_FAILED): (RESERVE_FAILED, False),
    (PRE_APPROVED, PAID): (APPROVED, True),
    (PRE_APPROVED, PAYMENT_FAILED): (PAYMENT_FAILED, True),
    (RESERVED, PAID): (APPROVED, True),
    (RESERVED, PAYMENT_FAILED): (PAYMENT_FAILED, True),
    (RESERVE_FAILED, RESERVED): (RESERVE_FAILED, True),
    (RESERVE_FAILED, PAID): (RESERVE_FAILED, True),
    (PAYMENT_FAILED, RESERVED): (PAYMENT_FAILED, True),
    (PAYMENT_FAILED, PAID): (PAYMENT_FAILED, True),
    (CANCELED, RESERVED): (CANCELED, True),
    (CANCELED, PAID): (CANCELED, True),
}


@pytest.mark.parametrize("status", MOVES)
@pytest.mark.parametrize("report", HEARD)
def test_every_report_moves_a_ticket_as_the_table_says(status, report):
    after, say = reported(a_ticket(status), a_report(report))

    assert (after.status, say) == TABLE.get((status, report), (status, False))
    noted = status == APPROVED and report == DELIVERY_ARRANGED
    assert (after == a_ticket(status)) == (after.status == status and not noted)


def test_the_statuses_are_open_or_approved_or_failed():
    assert {PRE_APPROVED, RESERVED} == OPEN
    assert {RESERVE_FAILED, PAYMENT_FAILED, CANCELED} == FAILED
    assert {*OPEN, *FAILED, APPROVED} == set(MOVES)
    assert set(MOVES) - {RESERVED} == SAID


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

    assert after.history[-1] == Passage(RESERVED, 3.0, RESERVED, "e7")
    assert after.amount == 300


def test_a_delivery_is_noted_once_and_leaves_the_ticket_approved():
    once, _ = reported(a_ticket(APPROVED), a_report(DELIVERY_ARRANGED, "e8"))
    twice, say = reported(once, a_report(DELIVERY_ARRANGED, "e9"))

    assert (once.status, once.history[-1]) == (
        APPROVED,
        Passage(DELIVERY_ARRANGED, 3.0, DELIVERY_ARRANGED, "e8"),
    )
    assert once.delivered
    assert (twice, say) == (once, False)


def test_a_ticket_that_failed_says_why():
    after, _ = reported(a_ticket(), a_report(RESERVE_FAILED, reason="sold-out: blue"))

    assert after.reason == "sold-out: blue"


@pytest.mark.parametrize("status", sorted(OPEN))
def test_an_open_order_can_be_canceled_again_and_again(status):
    canceled = withdrawn(a_ticket(status), CLIENT, 5.0)

    assert (canceled.status, canceled.reason) == (CANCELED, "client")
    assert canceled.history[-1] == Passage(CANCELED, 5.0, CLIENT)
    assert withdrawn(canceled, CLIENT, 9.0) == canceled


@pytest.mark.parametrize("status", [APPROVED, RESERVE_FAILED, PAYMENT_FAILED])
def test_an_order_that_has_ended_otherwise_cannot_be_canceled_and_says_how_it_ended(status):
    with pytest.raises(NotAllowed, match=f"the order is {status}"):
        withdrawn(a_ticket(status), CLIENT, 5.0)


@pytest.mark.parametrize("status", sorted(OPEN))
def test_an_open_order_is_canceled_at_its_deadline_and_not_before(status):
    before = reminded(a_ticket(status), 1.0 + DEADLINE - 0.001, DEADLINE)
    after = reminded(a_ticket(status), 1.0 + DEADLINE, DEADLINE)

    assert (before.status, before.repeats) == (status, 1)
    assert (after.status, after.reason, after.repeats) == (CANCELED, TIMEOUT, 0)


def test_an_approved_order_has_no_deadline():
    late = reminded(a_ticket(APPROVED), 1e9, DEADLINE)

    assert (late.status, late.repeats) == (APPROVED, 1)


def test_a_move_begins_the_count_of_repeats_anew():
    repeated = reminded(reminded(a_ticket(), 2.0, DEADLINE), 3.0, DEADLINE)

    moved, _ = reported(repeated, a_report(PAID))

    assert (repeated.repeats, moved.repeats) == (2, 0)


def test_who_waits_for_an_answer():
    waiting = {status for status in MOVES if a_ticket(status).waits_for_answer}
    delivered, _ = reported(a_ticket(APPROVED), a_report(DELIVERY_ARRANGED))

    assert waiting == {PRE_APPROVED, APPROVED}
    assert not delivered.waits_for_answer


reports = st.builds(
    a_report,
    st.sampled_from(HEARD),
    st.uuids().map(str),
    again=st.booleans(),
    amount=st.none() | st.integers(0, 1000),
    reason=st.none() | st.text(max_size=5),
)


@given(st.lists(reports | st.sampled_from([CLIENT, "look"]), max_size=14), st.floats(1, 300))
def test_whatever_is_reported_in_whatever_order_a_ticket_moves_on_and_ends_once(steps, now):
    ticket = a_ticket()
    said: list[str] = []

    for step in steps:
        if isinstance(step, Report):
            ticket, say = reported(ticket, step)
            said += [ticket.status] if say else []
        elif step == "look":
            ticket = reminded(ticket, now, DEADLINE)
        elif ticket.status in OPEN:
            ticket = withdrawn(ticket, step, now)

    statuses = [passage.status for passage in ticket.history if passage.status != DELIVERY_ARRANGED]
    assert statuses[0] == PRE_APPROVED
    assert statuses[-1] == ticket.status
    assert len(statuses) == len(set(statuses)) <= 3, "no status is ever left and come back to"
    assert len(ticket.history) - len(statuses) <= 1, "a delivery is noted once"
    assert (statuses.count(APPROVED) + sum(status in FAILED for status in statuses)) <= 1
    assert set(said) <= {ticket.status}, "only how it ended is ever published"


@given(st.permutations([RESERVED, PAID]), st.integers(1, 3))
def test_reports_that_overtake_one_another_lead_to_the_same_end(order, copies):
    ticket = a_ticket()

    for status in [each for each in order for _ in range(copies)]:
        ticket, _ = reported(ticket, a_report(status))

    assert ticket.status == APPROVED
