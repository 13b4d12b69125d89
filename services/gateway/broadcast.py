"""Hears everything that any service publishes, through subscriptions of this process's own."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

import structlog

from contract.tickets import AGAIN, ORDER_TICKET, TicketMessage
from contract.topology import broadcast_name
from sagakit.backends import Messages
from sagakit.bus import Delivery, SubscriptionSpec
from sagakit.errors import Poison, Unavailable
from sagakit.events import Event, timestamp
from sagakit.runtime import Backoff, Runtime

log = structlog.get_logger()

EXPIRES_AFTER_SECONDS = 24 * 3600
RENEW_SECONDS = 600.0
"""How often it says that it still needs its subscriptions; `provision` sweeps those it did not hear of."""
MAX_OUTSTANDING = 1_000
FAREWELL_SECONDS = 3.0
LASTED_SECONDS = 30.0
"""What was heard for so long was no failure: the next try comes soon."""
AFTER_A_GAP = Backoff(first_seconds=0.2, cap_seconds=5.0, attempts=0)

Hear = Callable[[str, TicketMessage, str, bool], None]
"""Of the service that speaks, the ticket, when it said so (RFC 3339), and whether it is a repetition."""


class Broadcast:
    """One subscription to each topic, made anew under another name whenever it is lost."""

    def __init__(
        self,
        messages: Messages,
        topics: Mapping[str, str],
        hear: Hear,
        catch_up: Callable[[], None],
        runtime: Runtime,
    ) -> None:
        """`topics` by service. `catch_up` is called where something may have been missed."""
        self._messages = messages
        self._topics = topics
        self._hear = hear
        self._catch_up = catch_up
        self._runtime = runtime

    async def run(self) -> None:
        """Hear until cancelled; then the subscriptions are removed, where the broker is there to do it."""
        async with asyncio.TaskGroup() as topics:
            for service, topic in self._topics.items():
                topics.create_task(self._keep_hearing(service, topic))

    async def _keep_hearing(self, service: str, topic: str) -> None:
        failures = 0
        while True:
            began = self._runtime.now()
            try:
                await self._hear_topic(service, topic)
            except Unavailable as error:
                failures = 0 if self._runtime.now() - began > LASTED_SECONDS else failures + 1
                log.warning("broadcast lost", topic=topic, error=str(error))
            await self._runtime.sleep(self._runtime.random.uniform(0.5, 1) * AFTER_A_GAP.longest(failures))

    async def _hear_topic(self, service: str, topic: str) -> None:
        """Raises Unavailable once nothing is heard any more."""
        # Under a name that nobody had: the emulator hands messages to pulls that are long gone.
        spec = SubscriptionSpec(
            broadcast_name(self._runtime.new_id(), topic),
            topic,
            None,
            expires_after_seconds=EXPIRES_AFTER_SECONDS,
        )
        try:
            await self._messages.provisioner.ensure_subscription(spec)
            pull = self._messages.bus.subscribe(
                spec.name, lambda delivery: self._receive(service, delivery), MAX_OUTSTANDING
            )
            # What was said before there was a subscription is on record.
            self._catch_up()
            renewing = asyncio.create_task(self._renew(spec))
            try:
                await pull.ended()
            finally:
                renewing.cancel()
                await pull.close()
        finally:
            with suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(FAREWELL_SECONDS):
                    await self._messages.provisioner.remove_subscription(spec.name)

    async def _renew(self, spec: SubscriptionSpec) -> None:
        while True:
            await self._runtime.sleep(RENEW_SECONDS)
            try:
                await self._messages.provisioner.ensure_subscription(spec)
            except Unavailable as error:
                log.warning("broadcast not renewed", subscription=spec.name, error=str(error))

    def _receive(self, service: str, delivery: Delivery) -> None:
        # Whatever it is, it is on record with whoever said it: nothing is lost with it.
        delivery.ack()
        with suppress(Poison):
            event = Event.from_message(delivery.message)
            if event.type == ORDER_TICKET:
                time = event.attributes.get("time") or timestamp(self._runtime.now())
                self._hear(service, TicketMessage.from_event(event), time, AGAIN in event.attributes)
