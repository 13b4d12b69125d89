"""The event-driven half of a service's process: consumer, relay, sweepers and reminders, wired together."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Protocol

import structlog

from sagakit.backends import Backend
from sagakit.bus import subscription_name
from sagakit.concurrency import only_cancelled_by_callers
from sagakit.consumer import Consumer
from sagakit.errors import Unavailable
from sagakit.event_types import by_name
from sagakit.inbox import Inbox, inbox_kind
from sagakit.outbox import Outbox, outbox_kind
from sagakit.relay import Relay
from sagakit.reminders import Reminders, ReminderSchedule
from sagakit.runtime import Runtime
from sagakit.service import Kit, Service, ServiceFactory
from sagakit.settings import ServiceSettings, SettingsError
from sagakit.store import Store
from sagakit.sweeper import Expiry, Sweeper
from sagakit.tables import Key
from sagakit.tasks import Tasks
from sagakit.telemetry.recorder import Recorder, recorder_of

log = structlog.get_logger()

CALLS_DRAIN_TIMEOUT_SECONDS = 8.0
EVENTS_DRAIN_TIMEOUT_SECONDS = 8.0
OUTBOX_DRAIN_TIMEOUT_SECONDS = 5.0
HEALTH_CHECK_TIMEOUT_SECONDS = 10.0
STALL_TIMEOUT_SECONDS = 60.0
"""Time without progress after which something hangs: longer than any call or event may take."""


class Messaging:
    """One service over an open backend, without gRPC. Nothing is started yet."""

    def __init__(
        self, name: str, settings: ServiceSettings, backend: Backend, runtime: Runtime, build: ServiceFactory
    ) -> None:
        """`name` is part of its subscriptions (`billing-service.…`) and kinds (`BillingPublishEvent`).

        Raises SettingsError if a topic that the service needs is not set, and what `build` raises.
        """
        self._tables = backend.tables
        self._runtime = runtime
        outbox = Outbox(outbox_kind(name), runtime)
        self._inbox = Inbox(inbox_kind(name), runtime)
        publishing = (backend.bus, settings.publish_topic, outbox, runtime)
        self._relay = Relay(backend.tables, *publishing, cloudevents=settings.cloudevents)
        store = Store(backend.tables, outbox, self._relay, runtime)
        recorder = recorder_of(runtime)
        self.service = build(
            Kit(
                store=store,
                inbox=self._inbox,
                runtime=runtime,
                schedule=ReminderSchedule(settings.reminder_interval_seconds),
                tables=backend.tables,
                subscribe_topics=settings.subscribe_topics,
                environ=settings.environ,
                metrics=recorder.metrics,
            )
        )
        _check_topics(self.service, settings)
        topics = {subscription_name(name, topic): topic for topic in settings.subscribe_topics}
        self.subscriptions = tuple(topics)
        handlers = by_name(self.service.handlers)
        consuming = (handlers, settings.dead_letter_topic, self._check_backends, runtime)
        self._consumer = Consumer(backend.bus, topics, *consuming, ignores=self.service.ignores)
        self._sweepers = [*self._sweeping(settings, outbox, store)]
        self._tasks = Tasks(self.service.tasks, runtime)
        self._expiry = Expiry(backend.tables, runtime)
        self._observed_by(recorder)
        self._working: list[asyncio.Task[None]] = []
        """The parts that commit events: they end before the relay does."""

    def _observed_by(self, recorder: Recorder) -> None:
        recorder.observe_consumer(self._consumer)
        recorder.overdue.waiting_since.update(self.service.waiting_since)
        recorder.observe_kinds(sweeper.kind for sweeper in self._sweepers)
        recorder.observe_reasons(self.service.dead_letter_reasons)
        recorder.observe_tasks(self.service.tasks)

    def _sweeping(self, settings: ServiceSettings, outbox: Outbox, store: Store) -> Iterator[Sweeper]:
        runtime = self._runtime
        sweeping = partial(Sweeper, self._tables, runtime=runtime, pass_seconds=settings.sweep_seconds)
        if settings.publish_topic:
            yield sweeping(outbox.kind, self._relay.take_over, capacity=lambda: self._relay.capacity)
        for kind, remind in self.service.reminders.items():
            reminders = Reminders(store, remind, runtime, lambda: self._consumer.is_saturated)
            yield sweeping(kind, reminders.claim, capacity=reminders.capacity)

    async def run(self) -> None:
        """Run all parts until cancelled. Raises if one of them fails, which only a defect causes."""
        self._working = [asyncio.create_task(run()) for run in (self._consumer.run, self._tasks.run)]
        parts = [self._relay.run, self._expiry.run, *(sweeper.run for sweeper in self._sweepers)]
        running = [*self._working, *(asyncio.create_task(run()) for run in parts)]
        try:
            await asyncio.gather(*running)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def stalled(self) -> str | None:
        """Return which part has work but has made no progress, and for how long; None if none."""
        parts = {"events in flight": self._consumer.idle_since, "outbox": self._relay.idle_since}
        for part, since in parts.items():
            seconds = 0.0 if since is None else self._runtime.monotonic() - since
            if seconds > STALL_TIMEOUT_SECONDS:
                return f"{part}: no progress for {seconds:.0f} s"
        return None

    def pause(self, paused: bool) -> None:
        """Pause pulling events on purpose, or let it continue; everything else continues."""
        self._consumer.pause(paused)

    def stop(self) -> None:
        """Stop pulling events."""
        self._consumer.stop()

    async def drained(self) -> None:
        """Return when, after `stop`, events in flight are applied and published, or the timeouts are over.

        The service's tasks are cancelled first. Those that have not ended by then are cancelled again.
        """
        self._tasks.stop()
        if self._working:
            await asyncio.wait(self._working, timeout=EVENTS_DRAIN_TIMEOUT_SECONDS)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._relay.drained(), OUTBOX_DRAIN_TIMEOUT_SECONDS)

    async def _check_backends(self) -> None:
        await self._tables.lookup([Key(self._inbox.kind, "health-check")])
        for check in self.service.health_checks:
            await _pass(check)


async def _pass(check: Callable[[], Awaitable[None]]) -> None:
    """Run a health check. Raises Unavailable however it fails, and if it takes too long."""
    try:
        with only_cancelled_by_callers():
            async with asyncio.timeout(HEALTH_CHECK_TIMEOUT_SECONDS):
                await check()
    except Unavailable:
        raise
    except TimeoutError as error:
        raise Unavailable("a health check took too long") from error
    except Exception as error:
        # A defect in what only asks must not end the process, and do so again after each restart.
        log.exception("health check failed")
        raise Unavailable(f"a health check failed: {error!r}") from error


class Server(Protocol):
    """The server of a service's RPCs."""

    async def set_serving(self, serving: bool) -> None:
        """Report whether calls may be sent here."""

    async def stop(self, grace_seconds: float) -> None:
        """Accept no more calls, and wait for those in flight; cancel those that take longer."""


async def drain(server: Server, messaging: Messaging, delay_seconds: float) -> None:
    """Finish what is in flight, calls and events, and publish what they have committed.

    `delay_seconds`: how long calls are still accepted, until clients know that they are to be sent elsewhere.
    """
    await server.set_serving(False)
    await asyncio.sleep(delay_seconds)
    messaging.stop()
    await server.stop(CALLS_DRAIN_TIMEOUT_SECONDS)
    await messaging.drained()


def _check_topics(service: Service, settings: ServiceSettings) -> None:
    """Raise SettingsError if a topic is not set that the service needs: it would wait in vain, silently."""
    if service.handlers and not settings.subscribe_topics:
        raise SettingsError("EVENT_SUBSCRIBE_TOPICS", "is not set: it handles events")
    if service.publishes and not settings.publish_topic:
        raise SettingsError("EVENT_PUBLISH_TOPIC", "is not set: it publishes events")
