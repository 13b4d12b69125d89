"""The order ticket and the one table of its moves: the only home of the saga's rules."""

from dataclasses import dataclass, replace

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
from sagakit.errors import FailedPrecondition

REPORTS = (RESERVED, RESERVE_FAILED, PAID, PAYMENT_FAILED, DELIVERY_ARRANGED)
"""What other services may say of a ticket; any other word changes nothing."""
CANCELLATION = "withdrawal"
"""The client cancels, or the deadline has passed: nobody's report, so it is not among them."""

CHECKOUT, CLIENT, TIMEOUT = "checkout", "client", "timeout"
"""Causes of moves that no event is the cause of."""


@dataclass(frozen=True, slots=True)
class Transition:
    """What a report does to a ticket."""

    to: str | None = None
    """The ticket's next status; None: it stays as it is."""
    say: bool = False
    """Publish the ticket with its status."""
    if_again: bool = False
    """… only where the report repeats a last word: whoever sent it has missed ours."""
    note: bool = False
    """It is written into the history."""


SAY_AGAIN = Transition(say=True)
CLOSED_AS_FAILED = {RESERVED: SAY_AGAIN, PAID: SAY_AGAIN}
"""A failed ticket never goes quiet on somebody who took something."""

TRANSITIONS: dict[str, dict[str, Transition]] = {
    PRE_APPROVED: {
        RESERVED: Transition(RESERVED),
        RESERVE_FAILED: Transition(RESERVE_FAILED),
        PAID: Transition(APPROVED, say=True),
        PAYMENT_FAILED: Transition(PAYMENT_FAILED, say=True),
        CANCELLATION: Transition(CANCELED, say=True),
    },
    RESERVED: {
        PAID: Transition(APPROVED, say=True),
        PAYMENT_FAILED: Transition(PAYMENT_FAILED, say=True),
        CANCELLATION: Transition(CANCELED, say=True),
    },
    APPROVED: {
        RESERVED: Transition(say=True, if_again=True),
        PAID: Transition(say=True, if_again=True),
        DELIVERY_ARRANGED: Transition(note=True),
    },
    RESERVE_FAILED: CLOSED_AS_FAILED,
    PAYMENT_FAILED: CLOSED_AS_FAILED,
    CANCELED: CLOSED_AS_FAILED,
}
"""Status, report → move. What is not in it changes nothing: late and repeated reports are normal."""

OPEN = frozenset(status for status, moves in TRANSITIONS.items() if CANCELLATION in moves)
"""Statuses an order can be called off in, and is, at its deadline."""
SAID = frozenset(
    move.to or status for status, moves in TRANSITIONS.items() for move in moves.values() if move.say
) | {PRE_APPROVED}
"""Statuses a ticket is published with."""
FAILED = frozenset(status for status, moves in TRANSITIONS.items() if moves is CLOSED_AS_FAILED)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """What happened to a ticket once: what it came to, when, and because of what."""

    status: str
    time: float
    """Seconds since the epoch, by the clock of the process that made the move."""
    cause: str
    """CHECKOUT, CLIENT, TIMEOUT, or the report that moved it."""
    eventid: str | None = None
    """The event that brought the report."""
    trace_id: str | None = None
    """The trace it happened in, if it is traced."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """An order, from checkout to its end; its items are its own copy."""

    orderid: str
    cartid: str
    items: tuple[CartItem, ...]
    status: str
    history: tuple[HistoryEntry, ...]
    amount: int | None = None
    reason: str | None = None
    repeats: int = 0
    """How often its status was published again since the last move."""
    owner: str = ""
    """Whose cart it was. It is in no event."""

    @property
    def opened_at(self) -> float:
        return self.history[0].time

    @property
    def delivered(self) -> bool:
        """Whether its delivery has been arranged."""
        return any(entry.status == DELIVERY_ARRANGED for entry in self.history)

    @property
    def awaits_reply(self) -> bool:
        """Whether somebody has to react to what was said last."""
        return self.status == PRE_APPROVED or (self.status == APPROVED and not self.delivered)


@dataclass(frozen=True, slots=True)
class Report:
    """What another service says happened to a ticket."""

    eventid: str
    status: str
    time: float
    """When it was heard."""
    amount: int | None = None
    reason: str | None = None
    again: bool = False
    trace_id: str | None = None
    """The trace in which it was heard."""


def opened(
    orderid: str,
    cartid: str,
    items: tuple[CartItem, ...],
    time: float,
    owner: str = "",
    trace_id: str | None = None,
) -> Ticket:
    """The ticket as checkout opens it."""
    first = HistoryEntry(PRE_APPROVED, time, CHECKOUT, trace_id=trace_id)
    return Ticket(orderid, cartid, items, PRE_APPROVED, (first,), owner=owner)


def reported(ticket: Ticket, report: Report) -> tuple[Ticket, bool]:
    """The ticket after a report, and whether it is to be published."""
    move = (
        TRANSITIONS[ticket.status].get(report.status, Transition())
        if report.status in REPORTS
        else Transition()
    )
    say = move.say and (report.again or not move.if_again)
    entry = HistoryEntry(
        move.to or report.status, report.time, report.status, report.eventid, report.trace_id
    )
    if move.note and not ticket.delivered:
        return replace(ticket, history=(*ticket.history, entry), repeats=0), say
    if move.to is None:
        return ticket, say
    return replace(
        _moved(ticket, entry, report.reason),
        amount=report.amount if report.amount is not None else ticket.amount,
    ), say


def cancel(ticket: Ticket, cause: str, time: float, trace_id: str | None = None) -> Ticket:
    """The ticket, canceled, now or before; FailedPrecondition where it has ended otherwise."""
    if ticket.status == CANCELED:
        return ticket
    move = TRANSITIONS[ticket.status].get(CANCELLATION)
    if move is None or move.to is None:
        raise FailedPrecondition("order-ended", f"the order is {ticket.status}: it cannot be canceled")
    return _moved(ticket, HistoryEntry(move.to, time, cause, trace_id=trace_id), cause)


def reminded(ticket: Ticket, now: float, deadline_seconds: float, trace_id: str | None = None) -> Ticket:
    """A ticket that has waited: canceled where its deadline has passed, else repeated once more."""
    if ticket.status in OPEN and now >= ticket.opened_at + deadline_seconds:
        return cancel(ticket, TIMEOUT, now, trace_id)
    return replace(ticket, repeats=ticket.repeats + 1)


def _moved(ticket: Ticket, entry: HistoryEntry, reason: str | None) -> Ticket:
    return replace(
        ticket,
        status=entry.status,
        history=(*ticket.history, entry),
        reason=reason if entry.status in FAILED else None,
        repeats=0,
    )
