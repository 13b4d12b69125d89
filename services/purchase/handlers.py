"""Events to use cases: the other services' reports about tickets."""

from collections.abc import Mapping

from contract.reactions import ticket_handlers
from contract.tickets import REMINDER_ATTRIBUTE, TicketMessage
from sagakit.consumer import Handler, Outcome
from sagakit.events import Event
from sagakit.runtime import Runtime
from sagakit.telemetry.traceparent import current_trace_id
from services.purchase.ticket import Report
from services.purchase.usecases import UseCases


def handlers(usecases: UseCases, runtime: Runtime) -> Mapping[str, Handler]:
    """Return handlers by event type for the kit's consumer."""

    async def apply(event: Event, ticket: TicketMessage) -> Outcome:
        report = Report(
            eventid=event.eventid,
            status=ticket.status,
            time=runtime.now(),
            amount=ticket.amount,
            reason=ticket.reason,
            is_reminder=REMINDER_ATTRIBUTE in event.attributes,
            trace_id=current_trace_id(),
        )
        return await usecases.apply_report(ticket.orderid, report)

    return ticket_handlers(apply)
