"""Events to use cases: what purchase says about its tickets."""

from collections.abc import Mapping

import structlog

from contract import tickets
from contract.tickets import ORDER_TICKET, TicketMessage
from sagakit.consumer import Handler, Outcome
from sagakit.events import Event
from services.stock.usecases import UseCases


def handlers(usecases: UseCases) -> Mapping[str, Handler]:
    """By event type."""

    async def order_ticket(event: Event) -> Outcome:
        ticket = TicketMessage.from_event(event)
        structlog.contextvars.bind_contextvars(orderid=ticket.orderid, status=ticket.status)
        match ticket.status:
            case tickets.PRE_APPROVED:
                return await usecases.reserve(event.eventid, ticket)
            case tickets.APPROVED:
                return await usecases.sell(event.eventid, ticket)
            case tickets.PAYMENT_FAILED | tickets.CANCELED | tickets.RESERVE_FAILED:
                return await usecases.release(event.eventid, ticket)
        return Outcome.IGNORED

    return {ORDER_TICKET: order_ticket}
