"""Events to use cases: which of purchase's tickets are approved."""

from collections.abc import Mapping

import structlog

from contract import tickets
from contract.tickets import ORDER_TICKET, TicketMessage
from sagakit.consumer import Handler, Outcome
from sagakit.events import Event
from services.delivery.usecases import UseCases


def handlers(usecases: UseCases) -> Mapping[str, Handler]:
    """By event type."""

    async def order_ticket(event: Event) -> Outcome:
        ticket = TicketMessage.from_event(event)
        structlog.contextvars.bind_contextvars(orderid=ticket.orderid, status=ticket.status)
        match ticket.status:
            case tickets.APPROVED:
                return await usecases.arrange(event.eventid, ticket)
        return Outcome.IGNORED

    return {ORDER_TICKET: order_ticket}
