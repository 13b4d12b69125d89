"""Fan-out: a process receives every message of some topics, through ephemeral subscriptions of its own."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

import structlog

from sagakit.backends import Broker
from sagakit.bus import Delivery, Message, SubscriptionSpec
from sagakit.errors import Unavailable
from sagakit.runtime import Backoff, Runtime

log = structlog.get_logger()

EXPIRES_AFTER_SECONDS = 24 * 3600
RENEW_INTERVAL_SECONDS = 600.0
"""How often the expiry of this process's subscriptions is renewed; expired ones are swept."""
MAX_OUTSTANDING = 1_000
DELETE_TIMEOUT_SECONDS = 3.0
STABLE_AFTER_SECONDS = 30.0
"""A subscription that lasted this long resets the reconnect backoff."""
RECONNECT_BACKOFF = Backoff(first_seconds=0.2, cap_seconds=5.0, attempts=0)

Receive = Callable[[str, Message], None]
"""Called with the source and the message."""


class FanoutSubscriber:
    """Keeps a subscription to each topic, and replaces it by one with a new name if it is lost.

    Messages are acknowledged on receipt, so each is received at most once: for live views of what is
    also stored, not for work that must be done.
    """

    def __init__(
        self,
        broker: Broker,
        topics: Mapping[str, str],
        receive: Receive,
        catch_up: Callable[[], None],
        name: Callable[[str, str], str],
        runtime: Runtime,
    ) -> None:
        """`topics` by source. `catch_up` is called after each subscribing: messages may have been missed.

        `name` returns a subscription's name, of a new id and the topic.
        """
        self._broker = broker
        self._topics = topics
        self._receive = receive
        self._catch_up = catch_up
        self._name = name
        self._runtime = runtime

    async def run(self) -> None:
        """Receive until cancelled, then delete the subscriptions, if the broker can be reached."""
        async with asyncio.TaskGroup() as topics:
            for source, topic in self._topics.items():
                topics.create_task(self._keep_subscribed(source, topic))

    async def _keep_subscribed(self, source: str, topic: str) -> None:
        failures = 0
        while True:
            began = self._runtime.monotonic()
            try:
                await self._subscribe(source, topic)
            except Unavailable as error:
                failures = 0 if self._runtime.monotonic() - began > STABLE_AFTER_SECONDS else failures + 1
                log.warning("ephemeral subscription lost", topic=topic, error=str(error))
            await self._runtime.sleep(
                self._runtime.random.uniform(0.5, 1) * RECONNECT_BACKOFF.max_delay(failures)
            )

    async def _subscribe(self, source: str, topic: str) -> None:
        """Receive until the subscription is lost. Raises Unavailable then."""
        # A new name each time: the emulator also delivers to closed pulls of an old one.
        spec = SubscriptionSpec(
            self._name(self._runtime.new_id(), topic),
            topic,
            None,
            expires_after_seconds=EXPIRES_AFTER_SECONDS,
        )
        try:
            await self._broker.provisioner.ensure_subscription(spec)
            pull = self._broker.bus.subscribe(
                spec.name, lambda delivery: self._receive_one(source, delivery), MAX_OUTSTANDING
            )
            # Messages from before the subscription existed are not delivered: read what they announced.
            self._catch_up()
            renewing = asyncio.create_task(self._renew(spec))
            try:
                await pull.ended()
            finally:
                renewing.cancel()
                await pull.close()
        finally:
            with suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(DELETE_TIMEOUT_SECONDS):
                    await self._broker.provisioner.remove_subscription(spec.name)

    async def _renew(self, spec: SubscriptionSpec) -> None:
        while True:
            await self._runtime.sleep(RENEW_INTERVAL_SECONDS)
            try:
                await self._broker.provisioner.ensure_subscription(spec)
            except Unavailable as error:
                log.warning("ephemeral subscription not renewed", subscription=spec.name, error=str(error))

    def _receive_one(self, source: str, delivery: Delivery) -> None:
        # Acknowledged before it is used: what it announces is stored by its publisher, so nothing gets lost.
        delivery.ack()
        self._receive(source, delivery.message)
