"""The consumer: pulls events, runs their handlers, and acknowledges each after the handler's commit."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum

import structlog

from sagakit.bus import Bus, Delivery
from sagakit.concurrency import first_completed, only_cancelled_by_callers
from sagakit.dead_letters import publish_dead_letter
from sagakit.errors import Contention, Poison, Unavailable
from sagakit.events import Event, eventid_of
from sagakit.ignored import Ignored
from sagakit.runtime import Backoff, Runtime

log = structlog.get_logger()

MAX_OUTSTANDING = 100
"""Flow-control limit: deliveries in flight at a time, per subscription."""
APPLY_TIMEOUT_SECONDS = 30.0
UNKNOWN_ATTEMPTS = 20
"""Deliveries of an event that this version does not know, the last of which is acknowledged: with the retry
delays of `SubscriptionSpec`, a quarter of an hour in which a rolling upgrade starts replicas that know it."""
PULL_BACKOFF = Backoff(first_seconds=0.25, cap_seconds=5, attempts=1 << 30)
SATURATION_WINDOW_SECONDS = 5.0
"""How long a consumer counts as saturated after a subscription was at its flow-control limit."""


class Outcome(StrEnum):
    """Outcome of a handler's work on an event; the value is the log message."""

    APPLIED = "event applied"
    DUPLICATE = "event duplicate"
    IGNORED = "event ignored"
    """The event concerns nothing here, for example an entity that another service owns."""
    UNKNOWN = "event unknown"
    """This version does not know the event, but a newer one may: it is nacked, for another replica,
    until its attempt number UNKNOWN_ATTEMPTS; then it is acknowledged."""
    DEAD_LETTERED = "event dead-lettered"
    """Set by the consumer when a handler raises Poison; handlers do not return it."""

    @property
    def label(self) -> str:
        """Its name in metrics."""
        return self.name.lower()


NACKED, PAUSED, FAILED = "nacked", "paused", "failed"
"""Outcomes of deliveries that were not acknowledged: conflicts or a timeout; a backend that is
unavailable; an unexpected exception."""

Handler = Callable[[Event], Awaitable[Outcome]]
"""Applies one event, in any order and possibly again: events are delivered at least once.

A handler must be idempotent, usually by `Inbox.once` with the eventid. It returns after its commit;
then the event is acknowledged. It is cancelled after APPLY_TIMEOUT_SECONDS, and when the process ends,
at any await: whatever it does outside a transaction must be safe to repeat.

What it raises decides about the event:

- Poison: it can never be applied. It is published as a dead letter and acknowledged.
- Unavailable: a backend cannot be reached. It is nacked, and pulling pauses until backends answer.
- Contention, TimeoutError: it is nacked, and redelivered after the subscription's backoff.
- Anything else is a defect: logged with its traceback, nacked and redelivered.
"""


class Consumer:
    """Consumes one service's subscriptions. No event stops it; none is acknowledged before it is settled."""

    def __init__(
        self,
        bus: Bus,
        subscriptions: Mapping[str, str],
        handlers: Mapping[str, Handler],
        dead_letter_topic: str,
        check_backends: Callable[[], Awaitable[None]],
        runtime: Runtime,
        ignores: Mapping[str, Ignored] = {},
    ) -> None:
        """`subscriptions`: name → topic; `handlers` by event type; `ignores` by topic.

        `check_backends` raises Unavailable if what they need is unavailable.
        """
        self.subscriptions = subscriptions
        self.in_flight: Counter[str] = Counter()
        """Deliveries received and not yet settled, by subscription."""
        self.pulled: set[str] = set()
        """The subscriptions that are being pulled."""
        self._bus = bus
        self._handlers = handlers
        self._ignores = {name: ignores[topic] for name, topic in subscriptions.items() if topic in ignores}
        self._dead_letter_topic = dead_letter_topic
        self._check_backends = check_backends
        self._runtime = runtime
        self._stopping = asyncio.Event()
        self._paused = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._settled: Counter[str] = Counter()
        self._unapplied: Counter[str] = Counter()
        """Events that were settled, and those that were not because a backend was unavailable."""
        self._saturated_at = float("-inf")
        self._last_progress_at = runtime.monotonic()

    @property
    def is_saturated(self) -> bool:
        """Whether there may be a backlog: a subscription is not pulled, or was at its limit recently.

        While a consumer takes all that the broker has, it stays below the limit; one that reaches it
        leaves messages queued, and replies that the service awaits may be among them.
        """
        full = max(self.in_flight.values(), default=0) >= MAX_OUTSTANDING
        recently = self._runtime.monotonic() - self._saturated_at < SATURATION_WINDOW_SECONDS
        return full or recently or not self.pulled.issuperset(self.subscriptions)

    @property
    def idle_since(self) -> float | None:
        """Time of the last settled delivery (monotonic) while deliveries are in flight; None if idle."""
        return self._last_progress_at if self._tasks else None

    async def run(self) -> None:
        """Pull until `stop`, then return when all deliveries in flight are settled."""
        async with asyncio.TaskGroup() as pulls:
            for name in self.subscriptions:
                pulls.create_task(self._keep_pulling(name))
        if self._tasks:
            await asyncio.wait(self._tasks)

    def stop(self) -> None:
        """Stop pulling. Deliveries in flight continue."""
        self._stopping.set()

    def pause(self, paused: bool) -> None:
        """Pause pulling on purpose, or let it continue. Deliveries in flight continue."""
        self._paused.set() if paused else self._paused.clear()

    async def _keep_pulling(self, name: str) -> None:
        failures = 0
        while not self._stopping.is_set():
            started, settled, unapplied = (
                self._runtime.monotonic(),
                self._settled[name],
                self._unapplied[name],
            )
            try:
                await self._check_backends()
                await self._pull(name)
            except Unavailable as error:
                # A pull that lasted a while was no failure: start again from short delays. Unless it brought
                # events and none was settled: a write that is not answered takes as long to fail.
                lasted = self._runtime.monotonic() - started > PULL_BACKOFF.cap_seconds
                in_vain = self._unapplied[name] > unapplied and self._settled[name] == settled
                failures = 1 if lasted and not in_vain else failures + 1
                log.warning("pulling paused", subscription=name, error=str(error))
                delay = self._runtime.random.uniform(0, PULL_BACKOFF.max_delay(failures - 1))
                await first_completed(self._runtime.sleep(delay), self._stopping.wait())

    async def _pull(self, name: str) -> None:
        """Pull until `stop` or `pause`. Raises Unavailable if the stream ends, if a handler raised it, or
        while it is paused.
        """
        if self._paused.is_set():
            raise Unavailable("paused on purpose")
        failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        live = self._bus.subscribe(name, lambda d: self._receive(name, d, failure), MAX_OUTSTANDING)
        self.pulled.add(name)
        try:
            await first_completed(live.ended(), self._stopping.wait(), self._paused.wait(), failure)
        finally:
            self.pulled.discard(name)
            await live.close()

    def _receive(self, subscription: str, delivery: Delivery, failure: "asyncio.Future[None]") -> None:
        self.in_flight[subscription] += 1
        ignored = self._ignores.get(subscription)
        if ignored is not None and ignored.includes(delivery.message.attributes):
            # Not at once: a burst that reaches the flow-control limit counts, whatever it consists of.
            asyncio.get_running_loop().call_soon(self._ignore, subscription, delivery)
            return
        task = asyncio.create_task(self._process(subscription, delivery, failure))
        if not self._tasks:
            self._last_progress_at = self._runtime.monotonic()
        self._tasks.add(task)

        def done(_: object) -> None:
            self._tasks.discard(task)
            self._count_settled(subscription)

        task.add_done_callback(done)

    def _ignore(self, subscription: str, delivery: Delivery) -> None:
        """Acknowledge a delivery that concerns nothing here: no task, span or log context, and no parsing."""
        delivery.ack()
        self._runtime.observer.ignored(subscription)
        log.debug(Outcome.IGNORED.value, eventid=eventid_of(delivery.message), subscription=subscription)
        self._count_settled(subscription)

    def _count_settled(self, subscription: str) -> None:
        self._last_progress_at = self._runtime.monotonic()
        if self.in_flight[subscription] >= MAX_OUTSTANDING:
            self._saturated_at = self._runtime.monotonic()
        self.in_flight[subscription] -= 1

    async def _process(self, subscription: str, delivery: Delivery, failure: "asyncio.Future[None]") -> None:
        attempt, eventid = delivery.attempt, eventid_of(delivery.message)
        structlog.contextvars.bind_contextvars(eventid=eventid, subscription=subscription)
        with self._runtime.observer.delivery(subscription, delivery) as report:
            try:
                with only_cancelled_by_callers():
                    outcome, poison = await self._outcome(subscription, delivery)
            except Unavailable as error:
                # Pull no further: each delivery counts, and too many make healthy events dead letters.
                delivery.nack()
                self._unapplied[subscription] += 1
                report(PAUSED, error)
                if not failure.done():
                    failure.set_exception(error)
            except (Contention, TimeoutError) as error:
                delivery.nack()
                report(NACKED, error)
                log.warning("event nacked", attempt=attempt, error=repr(error))
            except Exception as error:
                delivery.nack()
                report(FAILED, error)
                log.exception("event failed", attempt=attempt)
            else:
                self._settled[subscription] += 1
                report(_settle(delivery, outcome), poison)

    async def _outcome(self, subscription: str, delivery: Delivery) -> tuple[Outcome, Poison | None]:
        try:
            event = Event.from_message(delivery.message, self.subscriptions[subscription])
            handler = self._handlers.get(event.type)
            if handler is None:
                return Outcome.IGNORED, None
            async with asyncio.timeout(APPLY_TIMEOUT_SECONDS):
                return await handler(event), None
        except Poison as poison:
            counted = await publish_dead_letter(
                self._bus,
                self._dead_letter_topic,
                subscription,
                delivery.message,
                poison.reason,
                self._runtime.now(),
            )
            structlog.contextvars.bind_contextvars(reason=poison.reason)
            return Outcome.DEAD_LETTERED, counted


def _settle(delivery: Delivery, outcome: Outcome) -> str:
    """Settle the delivery of an event whose handler has returned; return the outcome's name in metrics."""
    if outcome is Outcome.UNKNOWN:
        log.warning("event unknown", attempt=delivery.attempt)
        if delivery.attempt < UNKNOWN_ATTEMPTS:
            delivery.nack()
            return NACKED
    else:
        write = log.debug if outcome is Outcome.IGNORED else log.info
        write(outcome.value, attempt=delivery.attempt)
    delivery.ack()
    return outcome.label
