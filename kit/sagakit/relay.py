"""The relay: publishes what was just committed, in batches, and takes it out of the outbox afterwards."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import TypeVar

import structlog
from opentelemetry.trace import INVALID_SPAN, Span

from sagakit.bus import Bus, Message
from sagakit.errors import Contention, Poison, SagaError, Unavailable
from sagakit.events import Event
from sagakit.outbox import Outbox
from sagakit.runtime import Backoff, Runtime
from sagakit.tables import MAX_MUTATIONS, Key, Row, Tables
from sagakit.telemetry import metrics
from sagakit.telemetry.outbox_metrics import OutboxMetrics
from sagakit.telemetry.spans import fail

log = structlog.get_logger()

T = TypeVar("T")

MAX_WAITING = 10_000
"""Events in memory; what does not fit is left in the outbox for the sweeper."""
MAX_BATCH = 200
PUBLISHERS = 4
"""Batches under way at once: while one waits for the broker, what comes in gathers for the next."""
DELETE_LINGER_SECONDS = 0.05
"""Deletes are in nobody's way: they wait a little to share a commit."""
PUBLISH_BACKOFF = Backoff(first_seconds=0.1, cap_seconds=2, attempts=4)


class Relay:
    """Publishes a service's outbox to its topic. Publishing twice is harmless: receivers have inboxes."""

    def __init__(self, tables: Tables, bus: Bus, topic: str, outbox: Outbox, runtime: Runtime) -> None:
        self._tables = tables
        self._bus = bus
        self._topic = topic
        self._outbox = outbox
        self._runtime = runtime
        self._waiting: asyncio.Queue[Event] = asyncio.Queue(MAX_WAITING)
        self._published: asyncio.Queue[str] = asyncio.Queue()
        self._unfinished = 0
        self._last_progress_at = runtime.monotonic()
        self._idle = asyncio.Event()
        self._idle.set()
        self._broker_unavailable = False
        self._publishing_spans: dict[str, Span] = {}
        """Of what is traced, by eventid."""
        self._metrics = OutboxMetrics(runtime)
        self._publishes = runtime.metrics.histogram(metrics.PUBLISH_DURATION)
        self._taken = runtime.metrics.counter(metrics.PUBLISHED)

    @property
    def capacity(self) -> int:
        """How many swept rows are welcome; while the broker is away, one to try it with."""
        if self._broker_unavailable:
            return 0 if self._unfinished else 1
        return MAX_WAITING - self._unfinished

    @property
    def idle_since(self) -> float | None:
        """When an event was last finished with, where there are some to be; None: there is nothing to do."""
        return self._last_progress_at if self._unfinished else None

    def producer_spans(self, events: Sequence[Event]) -> Sequence[Event]:
        """The events as they will be published, where they are traced."""
        return self._runtime.spans.producer_spans(self._topic, events)

    def enqueue(self, events: Iterable[Event], claims: int = 0) -> None:
        """Publish these soon. They are in the outbox, so nothing is lost where that fails. Never blocks."""
        for event in events:
            if self._unfinished < MAX_WAITING:
                self._begin(event, claims)
                self._last_progress_at = (
                    self._last_progress_at if self._unfinished else self._runtime.monotonic()
                )
                self._unfinished += 1
                self._idle.clear()
                self._waiting.put_nowait(event)
                self._metrics.take(event)

    async def take_over(self, key: Key, row: Row) -> None:
        """Publish a row that whoever committed it has left behind, unless another process got it first."""
        try:
            await self._tables.commit([self._outbox.claim(key, row)])
        except Contention:
            return
        claims = row.entity["claims"] + 1
        log.info("outbox row taken over", eventid=key.name, claims=claims)
        self.enqueue([self._outbox.event(key, row)], claims)

    async def run(self) -> None:
        """Publish until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(PUBLISHERS):
                tasks.create_task(self._publishing())
            tasks.create_task(self._deleting())

    async def drained(self) -> None:
        """Return when everything offered is published and deleted, or given up to the sweeper."""
        await self._idle.wait()

    async def _publishing(self) -> None:
        while True:
            batch = await _gathered(self._waiting, MAX_BATCH)
            await self._publish(batch)

    async def _publish(self, batch: list[Event]) -> None:
        try:
            await self._publish_with_patience(batch)
        except Poison as poison:
            if len(batch) == 1:
                log.error("event cannot be published", eventid=batch[0].eventid, reason=poison.reason)
                self._give_up(batch, poison)
            else:
                for event in batch:
                    await self._publish([event])
        except Unavailable as error:
            self._broker_unavailable = True
            log.warning("events left to the sweeper", count=len(batch), error=str(error))
            self._give_up(batch, error)
        else:
            self._broker_unavailable = False
            self._end(batch)
            for event in batch:
                self._published.put_nowait(event.eventid)

    async def _publish_with_patience(self, batch: list[Event]) -> None:
        messages = [event.to_message() for event in batch]
        for pause in PUBLISH_BACKOFF.delays(self._runtime.random):
            try:
                await self._hand_over(messages)
            except Unavailable:
                await self._runtime.sleep(pause)
            else:
                return
        await self._hand_over(messages)

    async def _hand_over(self, messages: Sequence[Message]) -> None:
        began, outcome = self._runtime.monotonic(), metrics.UNAVAILABLE
        try:
            await self._bus.publish(self._topic, messages)
            self._taken.add(len(messages))
            outcome = metrics.OK
        except Poison:
            outcome = metrics.ERROR
            raise
        finally:
            self._publishes.record(self._runtime.monotonic() - began, {"outcome": outcome})

    async def _deleting(self) -> None:
        while True:
            eventids = [await self._published.get()]
            if self._published.qsize() < MAX_MUTATIONS:
                await self._runtime.sleep(DELETE_LINGER_SECONDS)
            eventids += _at_hand(self._published, MAX_MUTATIONS - 1)
            try:
                await self._tables.commit(self._outbox.deletes(eventids))
            except SagaError as error:
                log.warning("published events stay in the outbox", count=len(eventids), error=str(error))
            self._metrics.done(eventids)
            self._finish(len(eventids))

    def _begin(self, event: Event, claims: int) -> None:
        # One that is adopted while it is still under way goes on under its first span.
        if self._runtime.spans.enabled and event.eventid not in self._publishing_spans:
            self._publishing_spans[event.eventid] = self._runtime.spans.publishing(self._topic, event, claims)

    def _end(self, batch: list[Event], error: SagaError | None = None) -> None:
        if not self._publishing_spans:
            return
        for event in batch:
            span = self._publishing_spans.pop(event.eventid, INVALID_SPAN)
            span.set_attribute("messaging.batch.message_count", len(batch))
            if error is not None:
                fail(span, type(error).__name__, str(error))
            span.end()

    def _give_up(self, batch: list[Event], error: SagaError) -> None:
        self._end(batch, error)
        self._metrics.give_up([event.eventid for event in batch])
        self._finish(len(batch))

    def _finish(self, count: int) -> None:
        self._unfinished -= count
        self._last_progress_at = self._runtime.monotonic()
        if not self._unfinished:
            self._idle.set()


async def _gathered(queue: asyncio.Queue[T], most: int) -> list[T]:
    return [await queue.get(), *_at_hand(queue, most - 1)]


def _at_hand(queue: asyncio.Queue[T], most: int) -> list[T]:
    return [queue.get_nowait() for _ in range(min(most, queue.qsize()))]
