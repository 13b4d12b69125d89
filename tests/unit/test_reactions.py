"""Handlers of order tickets put the ticket into the logs and traces of what they do."""

from typing import Any

import structlog

from contract.reactions import ticket_handlers
from contract.tickets import PAID, TicketMessage, ticket_event
from sagakit.consumer import Outcome
from sagakit.events import Event
from tests.support.traces import Traces


async def test_ticket_is_in_logs_and_traces():
    logged: dict[str, Any] = {}

    async def apply(*_: Any) -> Outcome:
        logged.update(structlog.contextvars.get_contextvars())
        return Outcome.APPLIED

    traces = Traces()
    message = ticket_event(TicketMessage("o-1", PAID, ()), "e", 0).to_message()
    event = Event.from_message(message, "stock")

    with traces.tracer("purchase").start_as_current_span("process stock"):
        await ticket_handlers(apply, {"stock": "stock"})[event.type](event)

    (span,) = traces.spans
    assert span.attributes == {"orderid": "o-1", "status": PAID}
    assert (logged["orderid"], logged["status"]) == ("o-1", PAID)
