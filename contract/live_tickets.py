"""Subscribe one process to all order-ticket events, for live views."""

from collections.abc import Callable
from contextlib import suppress

from contract.tickets import ORDER_TICKET, TicketMessage
from contract.topology import TOPOLOGY
from sagakit.backends import Broker
from sagakit.bus import Message
from sagakit.errors import Poison
from sagakit.events import REMINDER_ATTRIBUTE, Event, timestamp
from sagakit.fanout import FanoutSubscriber
from sagakit.runtime import Runtime
from sagakit.telemetry.traceparent import TRACEPARENT, trace_id_of

OnTicket = Callable[[str, TicketMessage, str, bool, str | None], None]
"""Called with the publishing service, the ticket, the time of publication (RFC 3339), whether the event is a
reminder, and its trace id."""


OnOther = Callable[[str, Event], None]
"""Called with the publishing service and an event that is no order ticket."""


def ticket_subscriber(
    broker: Broker,
    on_ticket: OnTicket,
    catch_up: Callable[[], None],
    runtime: Runtime,
    on_other: OnOther = lambda _service, _event: None,
) -> FanoutSubscriber:
    """Return a subscriber that is not started; it calls `catch_up` when events may have been missed."""

    def receive(service: str, message: Message) -> None:
        with suppress(Poison):
            event = Event.from_message(message)
            if event.type == ORDER_TICKET:
                time = event.attributes.get("time") or timestamp(runtime.now())
                trace_id = trace_id_of(event.attributes.get(TRACEPARENT))
                is_reminder = REMINDER_ATTRIBUTE in event.attributes
                on_ticket(service, TicketMessage.from_event(event), time, is_reminder, trace_id)
            else:
                on_other(service, event)

    return FanoutSubscriber(broker, TOPOLOGY.topics, receive, catch_up, runtime)
