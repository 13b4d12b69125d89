"""The order ticket and the one table of its moves: the only home of the saga's rules."""

from dataclasses import dataclass, replace

from contract.tickets import (
    APPROVED,
    PAID,
    PAYMENT_FAILED,
    PRE_APPROVED,
    RESERVE_FAILED,
    RESERVED,
    CartItem,
)


@dataclass(frozen=True, slots=True)
class Move:
    """What a report does to a ticket."""

    to: str | None = None
    """The ticket's next status; None: it stays as it is."""
    say: bool = False
    """Publish the ticket with its status."""
    if_again: bool = False
    """… only where the report repeats a last word: whoever sent it has missed ours."""


SAY_AGAIN = Move(say=True)
CLOSED_AS_FAILED = {RESERVED: SAY_AGAIN, PAID: SAY_AGAIN}
"""A failed ticket never goes quiet on somebody who took something."""

MOVES: dict[str, dict[str, Move]] = {
    PRE_APPROVED: {
        RESERVED: Move(RESERVED),
        RESERVE_FAILED: Move(RESERVE_FAILED),
        PAID: Move(APPROVED, say=True),
        PAYMENT_FAILED: Move(PAYMENT_FAILED, say=True),
    },
    RESERVED: {
        PAID: Move(APPROVED, say=True),
        PAYMENT_FAILED: Move(PAYMENT_FAILED, say=True),
    },
    APPROVED: {
        RESERVED: Move(say=True, if_again=True),
        PAID: Move(say=True, if_again=True),
    },
    RESERVE_FAILED: CLOSED_AS_FAILED,
    PAYMENT_FAILED: CLOSED_AS_FAILED,
}
"""Status, report → move. What is not in it changes nothing: late and repeated reports are normal."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One move of a ticket: when it came to a status, and which event was the cause."""

    status: str
    time: float
    """Seconds since the epoch, by the clock of the process that made the move."""
    eventid: str | None
    """None for checkout, which no event caused."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """An order, from checkout to its end; its items are its own copy."""

    orderid: str
    cartid: str
    items: tuple[CartItem, ...]
    history: tuple[Passage, ...]
    amount: int | None = None
    reason: str | None = None

    @property
    def status(self) -> str:
        return self.history[-1].status


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


def opened(orderid: str, cartid: str, items: tuple[CartItem, ...], time: float) -> Ticket:
    """The ticket as checkout opens it."""
    return Ticket(orderid, cartid, items, (Passage(PRE_APPROVED, time, None),))


def reported(ticket: Ticket, report: Report) -> tuple[Ticket, bool]:
    """The ticket after a report, and whether it is to be published."""
    move = MOVES[ticket.status].get(report.status, Move())
    say = move.say and (report.again or not move.if_again)
    if move.to is None:
        return ticket, say
    moved = replace(
        ticket,
        history=(*ticket.history, Passage(move.to, report.time, report.eventid)),
        amount=report.amount if report.amount is not None else ticket.amount,
        reason=report.reason if move.to in {RESERVE_FAILED, PAYMENT_FAILED} else None,
    )
    return moved, say
