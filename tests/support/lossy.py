"""A broker that loses messages, between a service and its backend."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from contract.tickets import TicketMessage
from sagakit.backends import Backend
from sagakit.bus import Bus, Message
from sagakit.events import Event

Loses = Callable[[str, str], bool]
"""Returns whether a message is lost, by its topic and the status in it."""


class LossyBus:
    """Accepts every message, and drops those that `loses` selects."""

    def __init__(self, bus: Bus, loses: Loses) -> None:
        self._bus = bus
        self._loses = loses
        self.subscribe = bus.subscribe
        self.subscription_problem = bus.subscription_problem

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        kept = [message for message in messages if not self._loses(topic, status_of(message))]
        if kept:
            await self._bus.publish(topic, kept)


def status_of(message: Message) -> str:
    return TicketMessage.from_event(Event.from_message(message)).status


def losing(loses: Loses) -> Callable[[Backend], Backend]:
    """For `running_suite(between=…)`."""
    return lambda backend: replace(backend, bus=LossyBus(backend.bus, loses))
