"""The ticket's table of moves: the saga's rules, in any order and any repetition of reports."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.tickets import (
    APPROVED,
    DELIVERY_ARRANGED,
    PAID,
    PAYMENT_FAILED,
    PRE_APPROVED,
    RESERVE_FAILED,
    RESERVED,
    CartItem,
)
from services.purchase.ticket import MOVES, Passage, Report, Ticket, opened, reported

REPORTS = [RESERVED, RESERVE_FAILED, PAID, PAYMENT_FAILED, DELIVERY_ARRANGED, "a-word-of-the-future"]
CLOSED_AS_FAILED = {RESERVE_FAILED, PAYMENT_FAILED}


def a_ticket(status: str = PRE_APPROVED) -> Ticket:
    ticket = opened("order", "cart", (CartItem("blue", 3),), 1.0)
    if status == PRE_APPROVED:
        return ticket
    return Ticket(ticket.orderid, ticket.cartid, ticket.items, (*ticket.history, Passage(status, 2.0, "e0")))


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
}


@pytest.mark.parametrize("status", MOVES)
@pytest.mark.parametrize("report", REPORTS)
def test_every_report_moves_a_ticket_as_the_table_says(status, report):
    after, say = reported(a_ticket(status), a_report(report))

    assert (after.status, say) == TABLE.get((status, report), (status, False))


def test_paid_approves_no_ticket_that_has_failed():
    """Trap: `paid` approving a ticket from any status, a failed one included."""
    for status in CLOSED_AS_FAILED:
        after, say = reported(a_ticket(status), a_report(PAID))

        assert after == a_ticket(status)
        assert say, "whoever took the money has to hear that the order failed"


@pytest.mark.parametrize("report", [RESERVED, PAID])
def test_an_approved_ticket_is_said_again_only_to_somebody_who_asks_again(report):
    assert reported(a_ticket(APPROVED), a_report(report)) == (a_ticket(APPROVED), False)
    assert reported(a_ticket(APPROVED), a_report(report, again=True)) == (a_ticket(APPROVED), True)


def test_a_move_is_noted_with_its_time_and_the_event_that_caused_it():
    after, _ = reported(a_ticket(), a_report(RESERVED, "e7", amount=300))

    assert after.history[-1] == Passage(RESERVED, 3.0, "e7")
    assert after.amount == 300


def test_a_ticket_that_failed_says_why():
    after, _ = reported(a_ticket(), a_report(RESERVE_FAILED, reason="sold-out: blue"))

    assert after.reason == "sold-out: blue"


@given(
    st.lists(
        st.builds(
            a_report,
            st.sampled_from(REPORTS),
            st.uuids().map(str),
            again=st.booleans(),
            amount=st.none() | st.integers(0, 1000),
            reason=st.none() | st.text(max_size=5),
        ),
        max_size=12,
    )
)
def test_whatever_is_reported_in_whatever_order_a_ticket_moves_on_and_ends_once(reports):
    ticket = a_ticket()
    said: list[str] = []

    for report in reports:
        ticket, say = reported(ticket, report)
        said += [ticket.status] if say else []

    statuses = [passage.status for passage in ticket.history]
    assert statuses[0] == PRE_APPROVED
    assert len(statuses) == len(set(statuses)) <= 3, "no status is ever left and come back to"
    assert statuses.count(APPROVED) + sum(status in CLOSED_AS_FAILED for status in statuses) <= 1
    assert set(said) <= {ticket.status}, "only how it ended is ever published"


@given(st.permutations([RESERVED, PAID]), st.integers(1, 3))
def test_reports_that_overtake_one_another_lead_to_the_same_end(order, copies):
    ticket = a_ticket()

    for status in [each for each in order for _ in range(copies)]:
        ticket, _ = reported(ticket, a_report(status))

    assert ticket.status == APPROVED
