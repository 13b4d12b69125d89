"""Events to use cases: what stock asks money for, and how purchase's tickets end."""

from collections.abc import Mapping

import structlog

from contract import tickets
from contract.tickets import ORDER_TICKET, TicketMessage
from sagakit.consumer import Handler, Outcome
from sagakit.events import Event
from services.payment.usecases import UseCases


def handlers(usecases: UseCases) -> Mapping[str, Handler]:
    """By event type."""

    async def order_ticket(event: Event) -> Outcome:
        ticket = TicketMessage.from_event(event)
        structlog.contextvars.bind_contextvars(orderid=ticket.orderid, status=ticket.status)
        match ticket.status:
            case tickets.RESERVED:
                return await usecases.charge(event.eventid, ticket)
            case tickets.APPROVED:
                return await usecases.settle(event.eventid, ticket.orderid)
            case tickets.PAYMENT_FAILED | tickets.CANCELED:
                return await usecases.cancel(event.eventid, ticket.orderid)
            case tickets.RESERVE_FAILED:
                # Stock says so too, of orders that nobody was ever asked to charge.
                return await usecases.cancel_known(event.eventid, ticket.orderid)
        return Outcome.IGNORED

    return {ORDER_TICKET: order_ticket}
