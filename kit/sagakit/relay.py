"""The relay: publishes committed events in batches, and deletes their outbox rows afterwards."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import TypeVar

import structlog

from sagakit.bus import Bus, Message
from sagakit.errors import Contention, Poison, SagaError, Unavailable
from sagakit.events import Event
from sagakit.outbox import Outbox
from sagakit.runtime import Backoff, Runtime
from sagakit.tables import MAX_MUTATIONS, Key, Row, Tables

log = structlog.get_logger()

T = TypeVar("T")

MAX_WAITING = 10_000
"""Events in memory; further ones stay in the outbox until a sweeper claims them."""
MAX_BATCH = 200
PUBLISHERS = 4
"""Batches in flight at once. While one waits for the broker, new events gather for the next."""
DELETERS = 4
"""Commits of deletes at once: each may wait for another commit that carries it (sagakit.batching)."""
DELETE_LINGER_SECONDS = 0.05
"""Deletes wait this long to share a commit: nothing depends on when they happen."""
PUBLISH_BACKOFF = Backoff(first_seconds=0.1, cap_seconds=2, attempts=4)


class Relay:
    """Publishes a service's outbox to its topic, at least once.

    The order is commit, publish, delete. A crash in between leaves the row in the outbox, where a
    sweeper claims it once its `due` has passed: the event is then published again rather than lost.
    """

    def __init__(
        self,
        tables: Tables,
        bus: Bus,
        topic: str,
        outbox: Outbox,
        runtime: Runtime,
        *,
        cloudevents: bool = False,
    ) -> None:
        """With `cloudevents`, published messages have CloudEvents attributes too; outbox rows never do."""
        self.topic = topic
        self._cloudevents_topic = topic if cloudevents else ""
        self._tables = tables
        self._bus = bus
        self._outbox = outbox
        self._runtime = runtime
        self._observer = runtime.observer
        self._waiting: asyncio.Queue[Event] = asyncio.Queue(MAX_WAITING)
        self._published: asyncio.Queue[str] = asyncio.Queue()
        self._unfinished = 0
        """Events enqueued and neither deleted from the outbox nor given up."""
        self._last_progress_at = runtime.monotonic()
        self._idle = asyncio.Event()
        self._idle.set()
        self._broker_unavailable = False

    @property
    def capacity(self) -> int:
        """How many claimed rows a sweeper may add; while the broker is unavailable, one as a probe."""
        if self._broker_unavailable:
            return 0 if self._unfinished else 1
        return MAX_WAITING - self._unfinished

    @property
    def idle_since(self) -> float | None:
        """Time of the last progress (monotonic) while events are unfinished; None if idle."""
        return self._last_progress_at if self._unfinished else None

    def enqueue(self, events: Iterable[Event], claims: int = 0) -> None:
        """Publish events soon. They must be in the outbox: one that fails is left there. Never blocks.

        `claims` is how often a sweeper has claimed the row.
        """
        for event in events:
            if self._unfinished < MAX_WAITING:
                if not self._unfinished:
                    self._last_progress_at = self._runtime.monotonic()
                self._unfinished += 1
                self._idle.clear()
                self._waiting.put_nowait(event)
                self._observer.enqueued(self.topic, event, claims)

    async def take_over(self, key: Key, row: Row) -> bool:
        """Claim a row whose process has not published it in time, and enqueue its event. Returns True.

        Does nothing if another process claims the row first. Raises Unavailable if the database cannot
        be reached, and ValueError or LookupError if the row holds no event.
        """
        event = self._outbox.event(key, row)
        try:
            await self._tables.commit([self._outbox.claim(key, row)])
        except Contention:
            return True
        claims = row.entity["claims"] + 1
        log.info("outbox row taken over", eventid=key.name, claims=claims)
        self.enqueue([event], claims)
        return True

    async def run(self) -> None:
        """Publish until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(PUBLISHERS):
                tasks.create_task(self._publish_batches())
            tasks.create_task(self._delete_published())

    async def drained(self) -> None:
        """Return when everything enqueued is published and deleted, or left to a sweeper."""
        await self._idle.wait()

    async def _publish_batches(self) -> None:
        while True:
            await self._publish([await self._waiting.get(), *_available(self._waiting, MAX_BATCH - 1)])

    async def _publish(self, batch: list[Event]) -> None:
        try:
            await self._publish_with_retries(batch)
        except Unavailable as error:
            self._broker_unavailable = True
            log.warning("events left to the sweeper", count=len(batch), error=str(error))
            self._give_up(batch, error)
        except Exception as error:
            # One event fails the whole batch: find it by publishing one by one.
            if len(batch) > 1:
                for event in batch:
                    await self._publish([event])
                return
            # A Poison is the broker's answer; anything else is a defect, whose traceback is needed.
            defect = None if isinstance(error, Poison) else error
            log.error(
                "event cannot be published", eventid=batch[0].eventid, reason=str(error), exc_info=defect
            )
            self._observer.row_failed(self._outbox.kind)
            self._give_up(batch, error)
        else:
            self._broker_unavailable = False
            self._observer.published(batch)
            for event in batch:
                self._published.put_nowait(event.eventid)

    async def _publish_with_retries(self, batch: list[Event]) -> None:
        messages = [event.to_message(cloudevents_topic=self._cloudevents_topic) for event in batch]
        for delay in PUBLISH_BACKOFF.delays(self._runtime.random):
            try:
                await self._send(messages)
            except Unavailable:
                await self._runtime.sleep(delay)
            else:
                return
        await self._send(messages)

    async def _send(self, messages: Sequence[Message]) -> None:
        with self._observer.publishing(len(messages)):
            await self._bus.publish(self.topic, messages)

    async def _delete_published(self) -> None:
        places = asyncio.Semaphore(DELETERS)
        async with asyncio.TaskGroup() as commits:
            while True:
                eventids = [await self._published.get()]
                if self._published.qsize() < MAX_MUTATIONS:
                    await self._runtime.sleep(DELETE_LINGER_SECONDS)
                eventids += _available(self._published, MAX_MUTATIONS - 1)
                await places.acquire()
                commits.create_task(self._delete(eventids)).add_done_callback(lambda _: places.release())

    async def _delete(self, eventids: Sequence[str]) -> None:
        try:
            await self._tables.commit(self._outbox.deletes(eventids))
        except SagaError as error:
            # Harmless: a sweeper publishes them once more, and receivers ignore the duplicates.
            log.warning("published events stay in the outbox", count=len(eventids), error=str(error))
        self._observer.removed(eventids)
        self._finish(len(eventids))

    def _give_up(self, batch: list[Event], error: Exception) -> None:
        self._observer.given_up(batch, error)
        self._finish(len(batch))

    def _finish(self, count: int) -> None:
        self._unfinished -= count
        self._last_progress_at = self._runtime.monotonic()
        if not self._unfinished:
            self._idle.set()


def _available(queue: asyncio.Queue[T], limit: int) -> list[T]:
    return [queue.get_nowait() for _ in range(min(limit, queue.qsize()))]
