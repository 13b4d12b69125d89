"""Events to use cases: what purchase says about its tickets."""

from collections.abc import Mapping

import structlog

from contract.tickets import ORDER_TICKET, PRE_APPROVED, TicketMessage
from sagakit.consumer import Handler, Outcome
from sagakit.events import Event
from services.stock.usecases import UseCases


def handlers(usecases: UseCases) -> Mapping[str, Handler]:
    """By event type."""

    async def order_ticket(event: Event) -> Outcome:
        ticket = TicketMessage.from_event(event)
        structlog.contextvars.bind_contextvars(orderid=ticket.orderid, status=ticket.status)
        if ticket.status != PRE_APPROVED:
            return Outcome.IGNORED
        return await usecases.reserve(event.eventid, ticket)

    return {ORDER_TICKET: order_ticket}
