"""The consumer: pulls events, has them applied, and acknowledges after the commit."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum

import structlog

from sagakit.bus import Bus, Delivery
from sagakit.concurrency import first_completed
from sagakit.dead_letters import dead_letter
from sagakit.errors import Contention, Poison, Unavailable
from sagakit.events import Event
from sagakit.runtime import Backoff, Runtime
from sagakit.telemetry import metrics
from sagakit.telemetry.consumer_metrics import ConsumerMetrics
from sagakit.telemetry.spans import failed, set_attribute

log = structlog.get_logger()

MAX_OUTSTANDING = 100
"""Deliveries in hand at a time, per subscription."""
APPLY_TIMEOUT_SECONDS = 30.0
PULL_BACKOFF = Backoff(first_seconds=0.25, cap_seconds=5, attempts=1 << 30)
SATURATION_WINDOW_SECONDS = 5.0
"""For how long a consumer that had its hands full counts as lagging behind."""


class Outcome(StrEnum):
    """What became of an event that could be read."""

    APPLIED = "event applied"
    DUPLICATE = "event duplicate"
    IGNORED = "event ignored"
    DEAD_LETTERED = "event dead-lettered"

    @property
    def label(self) -> str:
        """Its name among metrics."""
        return self.name.lower()


Handler = Callable[[Event], Awaitable[Outcome]]


class Consumer:
    """One service's subscriptions. No event ends it, and none is acknowledged before it is dealt with."""

    def __init__(
        self,
        bus: Bus,
        subscriptions: Sequence[str],
        handlers: Mapping[str, Handler],
        dead_letter_topic: str,
        check_backends: Callable[[], Awaitable[None]],
        runtime: Runtime,
    ) -> None:
        """`handlers` by event type; `check_backends` raises Unavailable while what they need is away."""
        self._bus = bus
        self._subscriptions = subscriptions
        self._handlers = handlers
        self._dead_letter_topic = dead_letter_topic
        self._check_backends = check_backends
        self._runtime = runtime
        self._stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_flight: Counter[str] = Counter()
        self._pulled: set[str] = set()
        self._saturated_at = float("-inf")
        self._last_progress_at = runtime.monotonic()
        self._meter = ConsumerMetrics(
            runtime, subscriptions, self._in_flight, self._pulled, lambda: self.is_saturated
        )

    @property
    def is_saturated(self) -> bool:
        """Whether there may be a backlog: a subscription is not pulled, or was at its limit of late."""
        full = max(self._in_flight.values(), default=0) >= MAX_OUTSTANDING
        recently = self._runtime.monotonic() - self._saturated_at < SATURATION_WINDOW_SECONDS
        return full or recently or not self._pulled.issuperset(self._subscriptions)

    @property
    def idle_since(self) -> float | None:
        """When an event was last dealt with, where some are in hand; None: there is nothing to do."""
        return self._last_progress_at if self._tasks else None

    async def run(self) -> None:
        """Pull until `stop`, then return once what is in hand has been dealt with."""
        async with asyncio.TaskGroup() as pulls:
            for name in self._subscriptions:
                pulls.create_task(self._pulling(name))
        if self._tasks:
            await asyncio.wait(self._tasks)

    def stop(self) -> None:
        """Stop pulling."""
        self._stopping.set()

    async def _pulling(self, name: str) -> None:
        failures = 0
        while not self._stopping.is_set():
            started = self._runtime.monotonic()
            try:
                await self._check_backends()
                await self._pull(name)
            except Unavailable as error:
                failures = (
                    1 if self._runtime.monotonic() - started > PULL_BACKOFF.cap_seconds else failures + 1
                )
                log.warning("pulling paused", subscription=name, error=str(error))
                await self._pause(self._runtime.random.uniform(0, PULL_BACKOFF.max_delay(failures)))

    async def _pull(self, name: str) -> None:
        """Pull until `stop`; Unavailable where the stream ended, or a handler found a backend away."""
        failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        live = self._bus.subscribe(name, lambda d: self._receive(name, d, failure), MAX_OUTSTANDING)
        self._pulled.add(name)
        try:
            await first_completed(live.ended(), self._stopping.wait(), failure)
        finally:
            self._pulled.discard(name)
            await live.close()

    async def _pause(self, seconds: float) -> None:
        await first_completed(self._runtime.sleep(seconds), self._stopping.wait())

    def _receive(self, subscription: str, delivery: Delivery, failure: "asyncio.Future[None]") -> None:
        task = asyncio.create_task(self._process(subscription, delivery, failure))
        self._last_progress_at = self._last_progress_at if self._tasks else self._runtime.monotonic()
        self._tasks.add(task)
        self._in_flight[subscription] += 1

        def done(_: object) -> None:
            self._tasks.discard(task)
            self._last_progress_at = self._runtime.monotonic()
            if self._in_flight[subscription] >= MAX_OUTSTANDING:
                self._saturated_at = self._runtime.monotonic()
            self._in_flight[subscription] -= 1

        task.add_done_callback(done)

    async def _process(self, subscription: str, delivery: Delivery, failure: "asyncio.Future[None]") -> None:
        eventid = delivery.message.attributes.get("eventid", "")
        structlog.contextvars.bind_contextvars(eventid=eventid, subscription=subscription)
        since = self._meter.received(subscription, delivery.message.attributes)
        with self._runtime.spans.processing(subscription, delivery):
            became = await self._settle(subscription, delivery, failure)
        self._meter.settled(subscription, since, became)

    async def _settle(self, subscription: str, delivery: Delivery, failure: "asyncio.Future[None]") -> str:
        """Returns what became of it, as metrics call it."""
        try:
            outcome = await self._outcome(subscription, delivery)
        except Unavailable as error:
            # Pulling on would only drive healthy events towards the dead letters.
            delivery.nack()
            failed(error)
            if not failure.done():
                failure.set_exception(error)
            return metrics.PAUSED
        except (Contention, TimeoutError) as error:
            delivery.nack()
            failed(error)
            log.warning("event nacked", attempt=delivery.attempt, error=repr(error))
            return metrics.NACKED
        except Exception as error:
            # A defect of ours: the event is kept, and comes again after a pause.
            delivery.nack()
            failed(error)
            log.exception("event failed", attempt=delivery.attempt)
            return metrics.FAILED
        else:
            delivery.ack()
            set_attribute("outcome", outcome.value)
            say = log.debug if outcome is Outcome.IGNORED else log.info
            say(outcome.value, attempt=delivery.attempt)
            return outcome.label

    async def _outcome(self, subscription: str, delivery: Delivery) -> Outcome:
        try:
            event = Event.from_message(delivery.message)
            handler = self._handlers.get(event.type)
            if handler is None:
                return Outcome.IGNORED
            async with asyncio.timeout(APPLY_TIMEOUT_SECONDS):
                return await handler(event)
        except Poison as poison:
            letter = dead_letter(subscription, delivery.message, poison.reason, self._runtime.now())
            await self._bus.publish(self._dead_letter_topic, [letter])
            structlog.contextvars.bind_contextvars(reason=poison.reason)
            failed(poison)
            self._meter.refused(poison.reason)
            return Outcome.DEAD_LETTERED
