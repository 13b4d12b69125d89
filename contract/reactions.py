"""What a service does about tickets, as a table: status → reaction."""

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
    """What hearing of a ticket with some status leads to."""

    do: Callable[[Any, str, TicketMessage], Awaitable[Outcome]]
    """A method of the service's use cases, of an eventid and a ticket."""
    replies: tuple[str, ...] = ()
    """The statuses the service may publish in reply."""


def handlers(reactions: Mapping[str, Reaction], usecases: object) -> Mapping[str, Handler]:
    """Handlers by event type, for the kit's consumer; a status without a reaction is ignored."""

    async def order_ticket(event: Event) -> Outcome:
        ticket = TicketMessage.from_event(event)
        structlog.contextvars.bind_contextvars(orderid=ticket.orderid, status=ticket.status)
        set_attribute("orderid", ticket.orderid)
        set_attribute("status", ticket.status)
        reaction = reactions.get(ticket.status)
        if reaction is None:
            return Outcome.IGNORED
        return await reaction.do(usecases, event.eventid, ticket)

    return {ORDER_TICKET: order_ticket}
