"""What every service says of tickets, heard by one process for itself."""

from collections.abc import Callable
from contextlib import suppress

from contract.tickets import ORDER_TICKET, REMINDER_ATTRIBUTE, TicketMessage
from contract.topology import TOPICS, ephemeral_subscription_name
from sagakit.backends import Broker
from sagakit.bus import Message
from sagakit.errors import Poison
from sagakit.events import Event, timestamp
from sagakit.fanout import FanoutSubscriber
from sagakit.runtime import Runtime
from sagakit.telemetry.traceparent import TRACEPARENT, trace_id_of

OnTicket = Callable[[str, TicketMessage, str, bool, str | None], None]
"""Of the service that speaks, the ticket, when it said so (RFC 3339), whether it is repeated, its trace."""


def ticket_subscriber(
    messages: Broker, hear: OnTicket, catch_up: Callable[[], None], runtime: Runtime
) -> FanoutSubscriber:
    """Not started yet; `catch_up` is called where something may have been missed."""

    def receive(service: str, message: Message) -> None:
        with suppress(Poison):
            event = Event.from_message(message)
            if event.type == ORDER_TICKET:
                time = event.attributes.get("time") or timestamp(runtime.now())
                ticket, again = TicketMessage.from_event(event), REMINDER_ATTRIBUTE in event.attributes
                hear(service, ticket, time, again, trace_id_of(event.attributes.get(TRACEPARENT)))

    return FanoutSubscriber(messages, TOPICS, receive, catch_up, ephemeral_subscription_name, runtime)
