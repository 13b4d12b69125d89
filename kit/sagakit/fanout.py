"""Fan-out: a process receives every message of some topics, through ephemeral subscriptions of its own."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

import structlog

from sagakit.backends import Broker
from sagakit.bus import Delivery, Message, SubscriptionSpec
from sagakit.concurrency import first_completed
from sagakit.errors import Unavailable
from sagakit.runtime import Backoff, Runtime

log = structlog.get_logger()

EXPIRES_AFTER_SECONDS = 24 * 3600
RENEW_INTERVAL_SECONDS = 600.0
"""How often the expiry of this process's subscriptions is renewed; expired ones are swept."""
CHECK_INTERVAL_SECONDS = 10.0
"""How often it is checked that they still get what is published: a pull does not end with its topic."""
MAX_OUTSTANDING = 1_000
DELETE_TIMEOUT_SECONDS = 3.0
STABLE_AFTER_SECONDS = 30.0
"""A subscription that lasted this long resets the reconnect backoff."""
RECONNECT_BACKOFF = Backoff(first_seconds=0.2, cap_seconds=5.0, attempts=0)

EPHEMERAL_PREFIX = "ephemeral-"
"""Name prefix of ephemeral subscriptions: one per process and topic, deleted when the process stops."""

Receive = Callable[[str, Message], None]
"""Called with the source and the message."""


def ephemeral_subscription_name(processid: str, topic: str) -> str:
    """Return the name of one process's own subscription to a topic, which receives every message."""
    return f"{EPHEMERAL_PREFIX}{processid}.{topic}"


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
        runtime: Runtime,
    ) -> None:
        """`topics` by source. `catch_up` is called when a topic's messages begin to arrive, or cease to: some
        may have been missed.
        """
        self._broker = broker
        self._topics = topics
        self._receive = receive
        self._catch_up = catch_up
        self._runtime = runtime
        self._receiving: set[str] = set()

    @property
    def is_receiving(self) -> bool:
        """Whether there is a subscription to every topic, as far as is known."""
        return self._receiving.issuperset(self._topics)

    async def run(self) -> None:
        """Receive until cancelled, then delete the subscriptions, if the broker can be reached."""
        try:
            async with asyncio.TaskGroup() as topics:
                for source, topic in self._topics.items():
                    topics.create_task(self._keep_subscribed(source, topic))
        finally:
            self._receiving.clear()

    async def _keep_subscribed(self, source: str, topic: str) -> None:
        failures = 0
        while True:
            began = self._runtime.monotonic()
            try:
                await self._subscribe(source, topic)
            except Unavailable as error:
                self._set_receiving(source, receiving=False)
                failures = 1 if self._runtime.monotonic() - began > STABLE_AFTER_SECONDS else failures + 1
                log.warning("ephemeral subscription lost", topic=topic, error=str(error))
            await self._runtime.sleep(
                self._runtime.random.uniform(0.5, 1) * RECONNECT_BACKOFF.max_delay(failures - 1)
            )

    async def _subscribe(self, source: str, topic: str) -> None:
        """Receive until the subscription is lost. Raises Unavailable then."""
        # A new name each time: the emulator also delivers to closed pulls of an old one.
        spec = SubscriptionSpec(
            ephemeral_subscription_name(self._runtime.new_id(), topic),
            topic,
            None,
            expires_after_seconds=EXPIRES_AFTER_SECONDS,
        )
        try:
            await self._broker.provisioner.ensure_subscription(spec)
            pull = self._broker.bus.subscribe(
                spec.name, lambda delivery: self._receive_one(source, delivery), MAX_OUTSTANDING
            )
            try:
                # Messages from before the subscription existed are not delivered.
                self._set_receiving(source, receiving=True)
                await first_completed(pull.ended(), self._keep(source, spec))
            finally:
                await pull.close()
        finally:
            with suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(DELETE_TIMEOUT_SECONDS):
                    await self._broker.provisioner.remove_subscription(spec.name)

    def _set_receiving(self, source: str, *, receiving: bool) -> None:
        """Record whether messages arrive; if that changes, read what the missed ones announced."""
        if receiving != (source in self._receiving):
            (self._receiving.add if receiving else self._receiving.discard)(source)
            self._catch_up()

    async def _keep(self, source: str, spec: SubscriptionSpec) -> None:
        """Renew the subscription. Raises Unavailable if it gets nothing any more."""
        renewed_at = self._runtime.monotonic()
        while True:
            await self._runtime.sleep(CHECK_INTERVAL_SECONDS)
            try:
                problem = await self._broker.bus.subscription_problem(spec.name)
            except Unavailable:
                # The pull reconnects, and the subscription may still exist then.
                self._set_receiving(source, receiving=False)
                continue
            if problem:
                raise Unavailable(problem)
            self._set_receiving(source, receiving=True)
            if self._runtime.monotonic() - renewed_at >= RENEW_INTERVAL_SECONDS:
                renewed_at = self._runtime.monotonic()
                await self._renew(spec)

    async def _renew(self, spec: SubscriptionSpec) -> None:
        try:
            await self._broker.provisioner.ensure_subscription(spec)
        except Unavailable as error:
            log.warning("ephemeral subscription not renewed", subscription=spec.name, error=str(error))

    def _receive_one(self, source: str, delivery: Delivery) -> None:
        # Acknowledged before it is used: what it announces is stored by its publisher, so nothing gets lost.
        delivery.ack()
        try:
            self._receive(source, delivery.message)
        except Exception:
            # Raised to the bus, it would end the pull, and with it the view of all other messages.
            log.exception("message not received", source=source)
