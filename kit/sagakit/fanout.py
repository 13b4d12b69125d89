"""Hears everything that is published, through subscriptions of this process's own."""

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
"""How often it says that it still needs its subscriptions; `provision` sweeps those it did not hear of."""
MAX_OUTSTANDING = 1_000
DELETE_TIMEOUT_SECONDS = 3.0
STABLE_AFTER_SECONDS = 30.0
"""What was heard for so long was no failure: the next try comes soon."""
RECONNECT_BACKOFF = Backoff(first_seconds=0.2, cap_seconds=5.0, attempts=0)

Receive = Callable[[str, Message], None]
"""Of the source that speaks, and what it said."""


class FanoutSubscriber:
    """One subscription to each topic, made anew under another name whenever it is lost."""

    def __init__(
        self,
        messages: Broker,
        topics: Mapping[str, str],
        receive: Receive,
        catch_up: Callable[[], None],
        name: Callable[[str, str], str],
        runtime: Runtime,
    ) -> None:
        """`topics` by source. `catch_up` is called where something may have been missed; `name` makes the
        name of a subscription of an id of its own and its topic.
        """
        self._messages = messages
        self._topics = topics
        self._receive = receive
        self._catch_up = catch_up
        self._name = name
        self._runtime = runtime

    async def run(self) -> None:
        """Receive until cancelled; then the subscriptions are removed, where the broker is there to do it."""
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
                log.warning("fan-out subscription lost", topic=topic, error=str(error))
            await self._runtime.sleep(
                self._runtime.random.uniform(0.5, 1) * RECONNECT_BACKOFF.max_delay(failures)
            )

    async def _subscribe(self, source: str, topic: str) -> None:
        """Raises Unavailable once nothing is heard any more."""
        # Under a name that nobody had: the emulator hands messages to pulls that are long gone.
        spec = SubscriptionSpec(
            self._name(self._runtime.new_id(), topic),
            topic,
            None,
            expires_after_seconds=EXPIRES_AFTER_SECONDS,
        )
        try:
            await self._messages.provisioner.ensure_subscription(spec)
            pull = self._messages.bus.subscribe(
                spec.name, lambda delivery: self._receive_one(source, delivery), MAX_OUTSTANDING
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
                async with asyncio.timeout(DELETE_TIMEOUT_SECONDS):
                    await self._messages.provisioner.remove_subscription(spec.name)

    async def _renew(self, spec: SubscriptionSpec) -> None:
        while True:
            await self._runtime.sleep(RENEW_INTERVAL_SECONDS)
            try:
                await self._messages.provisioner.ensure_subscription(spec)
            except Unavailable as error:
                log.warning("fan-out subscription not renewed", subscription=spec.name, error=str(error))

    def _receive_one(self, source: str, delivery: Delivery) -> None:
        # Whatever it is, it is on record with whoever said it: nothing is lost with it.
        delivery.ack()
        self._receive(source, delivery.message)
