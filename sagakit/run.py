"""Runs a service as a process: reads settings, opens the backend, serves, and drains on SIGTERM."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from sagakit import log as logs
from sagakit.backends import Backend, BackendSettings, open_backend
from sagakit.consumer import Consumer, Handler
from sagakit.inbox import Inbox
from sagakit.outbox import Outbox
from sagakit.relay import Relay
from sagakit.runtime import Runtime
from sagakit.server import GrpcServer, Register
from sagakit.settings import BadSetting, Environ
from sagakit.store import Store
from sagakit.sweeper import Sweeper
from sagakit.tables import Key

log = structlog.get_logger()

CALLS_END_SECONDS = 8.0
EVENTS_END_SECONDS = 8.0
OUTBOX_DRAIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """What every event-driven service reads from its environment."""

    backend: BackendSettings
    publish_topic: str
    subscribe_topics: tuple[str, ...]
    dead_letter_topic: str
    host: str
    port: int
    log_format: str
    drain_delay_seconds: float
    """How long a service that is told to stop goes on serving, until balancers have noticed."""
    sweep_seconds: float

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "ServiceSettings":
        """Raises BadSetting for the first variable that is missing or malformed."""
        env = Environ(environ)
        return cls(
            backend=BackendSettings.from_environ(environ),
            publish_topic=env.text("EVENT_PUBLISH_TOPIC"),
            subscribe_topics=env.texts("EVENT_SUBSCRIBE_TOPICS"),
            dead_letter_topic=env.text("EVENT_DEAD_LETTER_TOPIC"),
            host=env.text("HOST", "127.0.0.1"),
            port=env.integer("PORT", low=0, high=65_535),
            log_format=env.choice("LOG_FORMAT", ("console", "json"), "console"),
            drain_delay_seconds=env.seconds("DRAIN_DELAY_SECONDS", 0),
            sweep_seconds=env.seconds("SWEEP_SECONDS", 10, low=0.1),
        )


@dataclass(frozen=True, slots=True)
class Kit:
    """What a service's use cases are built on."""

    store: Store
    inbox: Inbox
    runtime: Runtime


@dataclass(frozen=True, slots=True)
class Service:
    """What a service adds to the kit."""

    servicers: Sequence[Register]
    names: Sequence[str]
    """The full names of its gRPC services."""
    handlers: Mapping[str, Handler]
    """By event type."""


class Process:
    """One service over an open backend: everything wired, nothing started."""

    def __init__(
        self,
        name: str,
        settings: ServiceSettings,
        backend: Backend,
        runtime: Runtime,
        build: Callable[[Kit], Service],
    ) -> None:
        """`name` is in the names of its subscriptions (`stock-service.…`) and kinds (`StockPublishEvent`)."""
        self._settings = settings
        outbox = Outbox(f"{name.capitalize()}PublishEvent", runtime)
        inbox = Inbox(f"{name.capitalize()}ReceivedEvent", runtime)
        self._relay = Relay(backend.tables, backend.bus, settings.publish_topic, outbox, runtime)
        service = build(Kit(Store(backend.tables, outbox, self._relay, runtime), inbox, runtime))
        self._sweeper = Sweeper(
            backend.tables,
            outbox.kind,
            self._relay.adopt,
            runtime,
            room=lambda: self._relay.room,
            pass_seconds=settings.sweep_seconds,
        )

        async def store_answers() -> None:
            await backend.tables.lookup([Key(inbox.kind, "is-anybody-there")])

        self._consumer = Consumer(
            backend.bus,
            [f"{name}-service.{topic}" for topic in settings.subscribe_topics],
            service.handlers,
            settings.dead_letter_topic,
            store_answers,
            runtime,
        )
        self.server = GrpcServer(settings.host, settings.port, service.servicers, service.names)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then finish what is in hand. Raises OSError where the port is taken."""
        await self.server.start()
        background = [asyncio.create_task(self._relay.run()), asyncio.create_task(self._sweeper.run())]
        consuming = asyncio.create_task(self._consumer.run())
        await self.server.set_serving(True)
        log.info("serving", port=self.server.port)
        await _first_of(stop, [*background, consuming])
        await self._drain(consuming)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        log.info("stopped")

    async def _drain(self, consuming: "asyncio.Task[None]") -> None:
        await self.server.set_serving(False)
        await asyncio.sleep(self._settings.drain_delay_seconds)
        self._consumer.stop()
        await self.server.stop(CALLS_END_SECONDS)
        await asyncio.wait([consuming], timeout=EVENTS_END_SECONDS)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._relay.drained(), OUTBOX_DRAIN_SECONDS)


async def _first_of(stop: asyncio.Event, tasks: Sequence["asyncio.Task[None]"]) -> None:
    """Return when `stop` is set; raise what a task died of, which none does unless it is broken."""
    stopped = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    for task in done:
        await task


def main(name: str, build: Callable[[Kit], Service]) -> None:
    """Run the service called `name` until SIGTERM or SIGINT; exit 1, naming the cause, if it cannot start."""
    try:
        settings = ServiceSettings.from_environ(os.environ)
        logs.configure(name, settings.log_format)
        asyncio.run(_main(name, settings, build))
    except (BadSetting, OSError) as error:
        sys.exit(f"{name}: {error}")


async def _main(name: str, settings: ServiceSettings, build: Callable[[Kit], Service]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runtime = Runtime()
    async with open_backend(settings.backend, runtime) as backend:
        await Process(name, settings, backend, runtime, build).run(stop)
