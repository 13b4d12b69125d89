"""Runs a service as a process: reads settings, opens the backend, serves, and drains on SIGTERM."""

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack

import structlog

from sagakit.backends import Backend, open_backend
from sagakit.gc_tuning import tune_gc
from sagakit.grpc.authentication import AuthServerInterceptor, tokens
from sagakit.grpc.server import GrpcServer
from sagakit.grpc.tracing import TracingServerInterceptor
from sagakit.messaging import Messaging
from sagakit.runtime import Runtime
from sagakit.service import ServiceFactory, ServiceSettings
from sagakit.settings import SettingsError
from sagakit.telemetry import logging as logs
from sagakit.telemetry.prometheus import serve_metrics
from sagakit.telemetry.spans import Spans
from sagakit.telemetry.tracing import open_tracer

log = structlog.get_logger()

CALLS_END_SECONDS = 8.0
PROGRESS_SECONDS = 5.0
"""How often it is looked whether everything moves."""


class Process:
    """One service over an open backend: events in and out, and gRPC. Nothing is started yet."""

    def __init__(
        self, name: str, settings: ServiceSettings, backend: Backend, runtime: Runtime, build: ServiceFactory
    ) -> None:
        self._drain_delay_seconds = settings.drain_delay_seconds
        self._messaging = Messaging(name, settings, backend, runtime, build)
        service = self._messaging.service
        self.server = GrpcServer(
            settings.host,
            settings.port,
            service.servicers,
            service.reflection_names,
            reflected=not settings.production,
            traced=TracingServerInterceptor(runtime.spans.tracer) if runtime.spans.tracer else None,
            sign_in=AuthServerInterceptor(tokens(settings.auth, runtime)) if settings.auth else None,
            measures=runtime.metrics,
        )
        self._open = settings.auth is None

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then finish what is in hand. Raises OSError where the port is taken."""
        await self.server.start()
        messaging = asyncio.create_task(self._messaging.run())
        await self.server.set_serving(True)
        log.info("serving", port=self.server.port)
        if self._open:
            log.warning("authentication disabled", why="AUTH_ISSUER is not set: nobody has to sign in")
        progress = asyncio.create_task(self._watch_progress())
        await _first_of(stop, messaging)
        progress.cancel()
        await self._drain()
        messaging.cancel()
        await asyncio.gather(messaging, return_exceptions=True)
        log.info("stopped")

    async def _watch_progress(self) -> None:
        """NOT_SERVING while something hangs: whoever probes the process will start another."""
        stalled: str | None = None
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            before, stalled = stalled, self._messaging.stalled()
            if (before is None) != (stalled is None):
                await self.server.set_serving(stalled is None)
                log.error("stalled", why=stalled) if stalled else log.info("recovered")

    async def _drain(self) -> None:
        await self.server.set_serving(False)
        await asyncio.sleep(self._drain_delay_seconds)
        self._messaging.stop()
        await self.server.stop(CALLS_END_SECONDS)
        await self._messaging.drained()


async def _first_of(stop: asyncio.Event, task: "asyncio.Task[None]") -> None:
    """Return when `stop` is set; raise what the task died of."""
    stopped = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([stopped, task], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    for each in done:
        await each


def main(name: str, build: ServiceFactory) -> None:
    """Run the service called `name` until SIGTERM or SIGINT; exit 1, naming the cause, if it cannot start."""
    try:
        settings = ServiceSettings.from_environ(os.environ)
        logs.configure(name, settings.logs)
        tune_gc()
        asyncio.run(_main(name, settings, build))
    except (SettingsError, OSError) as error:
        sys.exit(f"{name}: {error}")


async def _main(name: str, settings: ServiceSettings, build: ServiceFactory) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        tracer = await stack.enter_async_context(open_tracer(name, settings.environ))
        metrics = stack.enter_context(serve_metrics(name, settings.host, settings.metrics_port))
        runtime = Runtime(spans=Spans(tracer, settings.backend.messaging_system), metrics=metrics)
        backend = await stack.enter_async_context(open_backend(settings.backend, runtime))
        await Process(name, settings, backend, runtime, build).run(stop)
