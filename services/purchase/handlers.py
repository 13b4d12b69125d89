"""Events to use cases: what the other services report about a ticket."""

from collections.abc import Mapping

import structlog

from contract.tickets import ORDER_TICKET, REMINDER_ATTRIBUTE, TicketMessage
from sagakit.consumer import Handler, Outcome
from sagakit.events import Event
from sagakit.runtime import Runtime
from sagakit.telemetry.spans import set_attribute
from sagakit.telemetry.traceparent import current_trace_id
from services.purchase.ticket import Report
from services.purchase.usecases import UseCases


def handlers(usecases: UseCases, runtime: Runtime) -> Mapping[str, Handler]:
    """By event type."""

    async def order_ticket(event: Event) -> Outcome:
        message = TicketMessage.from_event(event)
        structlog.contextvars.bind_contextvars(orderid=message.orderid, status=message.status)
        set_attribute("orderid", message.orderid)
        set_attribute("status", message.status)
        report = Report(
            eventid=event.eventid,
            status=message.status,
            time=runtime.now(),
            amount=message.amount,
            reason=message.reason,
            is_reminder=REMINDER_ATTRIBUTE in event.attributes,
            trace_id=current_trace_id(),
        )
        return await usecases.apply_report(message.orderid, report)

    return {ORDER_TICKET: order_ticket}
