"""Handlers of order-ticket events: a service's reactions as a table, status → reaction."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from contract.tickets import ORDER_TICKET, TicketMessage
from sagakit.consumer import Handler, Outcome
from sagakit.events import Event
from sagakit.telemetry.spans import set_attribute


@dataclass(frozen=True, slots=True)
class Reaction:
    """A service's reaction to a ticket with some status."""

    do: Callable[[Any, str, TicketMessage], Awaitable[Outcome]]
    """A method of the service's use cases, called with the eventid and the ticket."""
    replies: tuple[str, ...] = ()
    """The statuses the service may publish in reply."""


def handlers(reactions: Mapping[str, Reaction], usecases: object) -> Mapping[str, Handler]:
    """Return handlers by event type for the kit's consumer; they ignore a status without a reaction."""

    async def react(event: Event, ticket: TicketMessage) -> Outcome:
        reaction = reactions.get(ticket.status)
        if reaction is None:
            return Outcome.IGNORED
        return await reaction.do(usecases, event.eventid, ticket)

    return ticket_handlers(react)


def ticket_handlers(apply: Callable[[Event, TicketMessage], Awaitable[Outcome]]) -> Mapping[str, Handler]:
    """Return handlers by event type that decode the ticket, put it into logs and traces, and call `apply`."""

    async def order_ticket(event: Event) -> Outcome:
        ticket = TicketMessage.from_event(event)
        structlog.contextvars.bind_contextvars(orderid=ticket.orderid, status=ticket.status)
        set_attribute("orderid", ticket.orderid)
        set_attribute("status", ticket.status)
        return await apply(event, ticket)

    return {ORDER_TICKET: order_ticket}
