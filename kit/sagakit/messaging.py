"""The event-driven half of a service's process: consumer, relay, sweepers and watches, wired together."""

import asyncio
from contextlib import suppress
from functools import partial

from sagakit.backends import Backend
from sagakit.bus import subscription_name
from sagakit.consumer import Consumer
from sagakit.expiry import Expiry
from sagakit.inbox import Inbox, inbox_kind
from sagakit.outbox import Outbox, outbox_kind
from sagakit.relay import Relay
from sagakit.reminders import Reminders
from sagakit.runtime import Runtime
from sagakit.service import Kit, ServiceFactory, ServiceSettings
from sagakit.store import Store
from sagakit.sweeper import Sweeper
from sagakit.tables import Key
from sagakit.telemetry import metrics
from sagakit.telemetry.overdue import Overdue

EVENTS_DRAIN_TIMEOUT_SECONDS = 8.0
OUTBOX_DRAIN_TIMEOUT_SECONDS = 5.0
STALL_TIMEOUT_SECONDS = 60.0
"""Longer than any call or event may take: then something hangs."""


class Messaging:
    """One service over an open backend: everything wired, nothing started. It knows no gRPC."""

    def __init__(
        self, name: str, settings: ServiceSettings, backend: Backend, runtime: Runtime, build: ServiceFactory
    ) -> None:
        """`name` is in the names of its subscriptions (`stock-service.…`) and kinds (`StockPublishEvent`)."""
        self._tables = backend.tables
        self._runtime = runtime
        outbox = Outbox(outbox_kind(name), runtime)
        self._inbox = Inbox(inbox_kind(name), runtime)
        self._relay = Relay(backend.tables, backend.bus, settings.publish_topic, outbox, runtime)
        overdue = Overdue()
        store = Store(backend.tables, outbox, self._relay, runtime, wrote=overdue.discard)
        kit = Kit(store, self._inbox, runtime, settings.schedule, backend.tables, settings.environ)
        self.service = build(kit)
        overdue.waiting_since.update(self.service.waiting_since)
        runtime.metrics.gauge(metrics.REMINDERS_OVERDUE, lambda: overdue.counts(runtime.now()))
        runtime.metrics.gauge(metrics.REMINDERS_OVERDUE_AGE, lambda: overdue.oldest_ages(runtime.now()))
        self._consumer = Consumer(
            backend.bus,
            [subscription_name(name, topic) for topic in settings.subscribe_topics],
            self.service.handlers,
            settings.dead_letter_topic,
            self._check_backends,
            runtime,
        )
        sweeping = partial(Sweeper, backend.tables, runtime=runtime, pass_seconds=settings.sweep_seconds)
        self._sweepers = [sweeping(outbox.kind, self._relay.take_over, capacity=lambda: self._relay.capacity)]
        for kind, remind in self.service.reminders.items():
            watch = Reminders(
                store, remind, runtime, is_saturated=lambda: self._consumer.is_saturated, overdue=overdue
            )
            self._sweepers.append(sweeping(kind, watch.claim, capacity=watch.capacity))
        self._expiry = Expiry(backend.tables, runtime)
        self._consuming: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Work until cancelled; raises what a part of it died of, which none does unless it is broken."""
        self._consuming = asyncio.create_task(self._consumer.run())
        running = [self._relay.run(), self._expiry.run(), *(sweeper.run() for sweeper in self._sweepers)]
        tasks = (self._consuming, *map(asyncio.create_task, running))
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def stalled(self) -> str | None:
        """What has stopped moving though there is work for it, and for how long; None: nothing has."""
        parts = {"events in hand": self._consumer.idle_since, "outbox": self._relay.idle_since}
        for part, since in parts.items():
            if since is not None and self._runtime.monotonic() - since > STALL_TIMEOUT_SECONDS:
                return f"{part}: nothing has moved for {self._runtime.monotonic() - since:.0f} s"
        return None

    def stop(self) -> None:
        """Pull no more events."""
        self._consumer.stop()

    async def drained(self) -> None:
        """After `stop`: return once what is in hand is done and said, or its time is up."""
        if self._consuming is not None:
            await asyncio.wait([self._consuming], timeout=EVENTS_DRAIN_TIMEOUT_SECONDS)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._relay.drained(), OUTBOX_DRAIN_TIMEOUT_SECONDS)

    async def _check_backends(self) -> None:
        await self._tables.lookup([Key(self._inbox.kind, "health-check")])
        for answers in self.service.health_checks:
            await answers()
