"""The order ticket and the table of its transitions: all rules of the saga."""

from dataclasses import dataclass, replace

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
    TicketMessage,
    may_publish,
    must_agree,
)
from sagakit.codec import Stored
from sagakit.errors import FailedPrecondition

REPORTS = (RESERVED, RESERVE_FAILED, PAID, PAYMENT_FAILED, DELIVERY_ARRANGED)
"""Statuses that other services report; a report with any other status changes nothing."""
CANCELLATION = "cancellation"
"""Cancellation by the client or at the deadline. Not reported by another service, so not in REPORTS."""

CHECKOUT, CLIENT, TIMEOUT = "checkout", "client", "timeout"
"""Causes of history entries that no report caused."""


@dataclass(frozen=True, slots=True)
class Transition:
    """The effect of a report on a ticket."""

    to: str | None = None
    """The ticket's next status; None: it stays as it is."""
    publish: bool = False
    """Publish the ticket with its status."""
    only_if_reminder: bool = False
    """Publish only if the report is a reminder: its sender has missed our last event."""
    record: bool = False
    """Record the report in the history, once."""


REPUBLISH = Transition(publish=True)
_OF_A_FAILED_TICKET = {RESERVED: REPUBLISH, PAID: REPUBLISH}
"""A failed ticket answers a late `reserved` or `paid` by republishing its final status, so that the sender
compensates."""

TRANSITIONS: dict[str, dict[str, Transition]] = {
    PRE_APPROVED: {
        RESERVED: Transition(RESERVED),
        RESERVE_FAILED: Transition(RESERVE_FAILED),
        PAID: Transition(APPROVED, publish=True),
        PAYMENT_FAILED: Transition(PAYMENT_FAILED, publish=True),
        CANCELLATION: Transition(CANCELED, publish=True),
    },
    RESERVED: {
        PAID: Transition(APPROVED, publish=True),
        PAYMENT_FAILED: Transition(PAYMENT_FAILED, publish=True),
        CANCELLATION: Transition(CANCELED, publish=True),
    },
    APPROVED: {
        RESERVED: Transition(publish=True, only_if_reminder=True),
        PAID: Transition(publish=True, only_if_reminder=True),
        DELIVERY_ARRANGED: Transition(record=True),
    },
    RESERVE_FAILED: _OF_A_FAILED_TICKET,
    PAYMENT_FAILED: _OF_A_FAILED_TICKET,
    CANCELED: _OF_A_FAILED_TICKET,
}
"""(status, report) → transition. A report that is missing here changes nothing: late and duplicate
reports are normal."""


@dataclass(frozen=True, slots=True)
class HistoryEntry(Stored):
    """One line of a ticket's history."""

    status: str
    time: float
    """Seconds since the epoch, by the clock of the process that wrote the entry."""
    cause: str
    """CHECKOUT, CLIENT, TIMEOUT, or the status of the report."""
    eventid: str | None = None
    """The event that carried the report."""
    trace_id: str | None = None
    """None if tracing is off."""


@dataclass(frozen=True, slots=True)
class Ticket(Stored):
    """An order, from checkout to its final status, with its own copy of the cart's items."""

    orderid: str
    cartid: str
    items: tuple[CartItem, ...]
    status: str
    history: tuple[HistoryEntry, ...]
    amount: int | None = None
    reason: str | None = None
    reminders_sent: int = 0
    """Number of reminders since the last history entry."""
    owner: str = ""
    """Owner of its cart; events have only its digest."""
    also_awaits: tuple[str, ...] = ()
    """Services beside delivery whose answers it awaits once it is approved."""

    @property
    def opened_at(self) -> float:
        return self.history[0].time

    @property
    def delivery_arranged(self) -> bool:
        """Whether its delivery has been arranged."""
        return any(entry.status == DELIVERY_ARRANGED for entry in self.history)

    def has_answer_of(self, service: str) -> bool:
        """Whether the service has answered that the order is approved."""
        return any(may_publish(service, entry.status) for entry in self.history)

    @property
    def awaits_reply_of(self) -> str | None:
        """The service that has to reply to its last event; None if none has to."""
        if self.status == PRE_APPROVED:
            return "stock"
        awaited = ("delivery", *self.also_awaits) if self.status == APPROVED else ()
        return next((service for service in awaited if not self.has_answer_of(service)), None)

    @property
    def awaits_reply(self) -> bool:
        """Whether another service has to reply to its last event."""
        return self.awaits_reply_of is not None


@dataclass(frozen=True, slots=True)
class Report:
    """Another service's event about a ticket."""

    eventid: str
    status: str
    time: float
    """When it was received (seconds since the epoch)."""
    amount: int | None = None
    reason: str | None = None
    is_reminder: bool = False
    trace_id: str | None = None
    """The trace in which it was received."""
    items: tuple[CartItem, ...] = ()
    """The units that were reserved or delivered."""


def opened(
    orderid: str,
    cartid: str,
    items: tuple[CartItem, ...],
    time: float,
    owner: str = "",
    trace_id: str | None = None,
    also_awaits: tuple[str, ...] = (),
) -> Ticket:
    """Return the ticket opened by a checkout."""
    first = HistoryEntry(PRE_APPROVED, time, CHECKOUT, trace_id=trace_id)
    return Ticket(orderid, cartid, items, PRE_APPROVED, (first,), owner=owner, also_awaits=also_awaits)


def check(ticket: Ticket, report: Report) -> None:
    """Raise Poison if a report that would advance the order contradicts the ticket.

    A failed ticket answers every report, so that its sender compensates. `paid` is not about items.
    """
    if ticket.status not in FAILED and report.status in (RESERVED, PAID, DELIVERY_ARRANGED):
        items = () if report.status == PAID else report.items
        message = TicketMessage(ticket.orderid, report.status, items, report.amount)
        must_agree(message, ticket.items, ticket.amount)


def reported(ticket: Ticket, report: Report) -> tuple[Ticket, bool]:
    """Return the ticket after a report, and whether to publish it."""
    transition = _transition(ticket, report.status)
    publish = transition.publish and (report.is_reminder or not transition.only_if_reminder)
    is_recorded = any(entry.status == report.status for entry in ticket.history)
    if transition.to is None and (is_recorded or not transition.record):
        return ticket, publish
    status = transition.to or report.status
    entry = HistoryEntry(status, report.time, report.status, report.eventid, report.trace_id)
    if transition.to is None:
        return replace(ticket, history=(*ticket.history, entry), reminders_sent=0), publish
    amount = ticket.amount if report.amount is None else report.amount
    return replace(_with_entry(ticket, entry, report.reason), amount=amount), publish


def _transition(ticket: Ticket, report: str) -> Transition:
    if ticket.status == APPROVED and any(may_publish(service, report) for service in ticket.also_awaits):
        return TRANSITIONS[APPROVED][DELIVERY_ARRANGED]
    return TRANSITIONS[ticket.status].get(report, Transition()) if report in REPORTS else Transition()


def cancel(ticket: Ticket, cause: str, time: float, trace_id: str | None = None) -> Ticket:
    """Return the canceled ticket. Raises FailedPrecondition if its status is another final one."""
    if ticket.status == CANCELED:
        return ticket
    transition = TRANSITIONS.get(ticket.status, {}).get(CANCELLATION)
    if transition is None or transition.to is None:
        raise FailedPrecondition("order-ended", f"the order is {ticket.status}: it cannot be canceled")
    return _with_entry(ticket, HistoryEntry(transition.to, time, cause, trace_id=trace_id), cause)


def reminded(ticket: Ticket, now: float, deadline_seconds: float, trace_id: str | None = None) -> Ticket:
    """Return a due ticket: canceled if its deadline has passed, else with one more reminder sent."""
    if ticket.status in OPEN and now >= ticket.opened_at + deadline_seconds:
        return cancel(ticket, TIMEOUT, now, trace_id)
    return replace(ticket, reminders_sent=ticket.reminders_sent + 1)


def _with_entry(ticket: Ticket, entry: HistoryEntry, reason: str | None) -> Ticket:
    return replace(
        ticket,
        status=entry.status,
        history=(*ticket.history, entry),
        reason=reason if entry.status in FAILED else None,
        reminders_sent=0,
    )
