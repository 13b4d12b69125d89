"""Runs a service as a process: reads settings, opens the backend, serves, and drains on SIGTERM."""

import asyncio
import gc
import os
import signal
import sys
from contextlib import AsyncExitStack

import grpc
import structlog

from sagakit.application import DEFAULT_APPLICATION, Application
from sagakit.backends import Backend, open_backend
from sagakit.concurrency import first_completed
from sagakit.grpc.server import GrpcServer
from sagakit.grpc.tracing import TracingServerInterceptor
from sagakit.messaging import Messaging
from sagakit.observer import Observer
from sagakit.runtime import Runtime
from sagakit.service import ServiceFactory
from sagakit.settings import ServiceSettings, SettingsError
from sagakit.telemetry import logging as logs
from sagakit.telemetry.prometheus import serve_metrics
from sagakit.telemetry.recorder import Recorder, recorder_of
from sagakit.telemetry.spans import Spans
from sagakit.telemetry.tracing import open_tracer

log = structlog.get_logger()

CALLS_DRAIN_TIMEOUT_SECONDS = 8.0
PROGRESS_CHECK_INTERVAL_SECONDS = 5.0
GC_THRESHOLDS = (50_000, 20, 100)
"""Allocations before a generation-0 collection (CPython's default of 700 is reached within a request or
two), and collections of each generation before one of the next."""


class Process:
    """One service over an open backend: events and gRPC calls. The constructor starts nothing."""

    def __init__(
        self,
        name: str,
        settings: ServiceSettings,
        backend: Backend,
        runtime: Runtime,
        build: ServiceFactory,
        application: Application,
    ) -> None:
        self._drain_delay_seconds = settings.drain_delay_seconds
        self._messaging = Messaging(name, settings, backend, runtime, build)
        service = self._messaging.service
        recorder = recorder_of(runtime)
        tracer = recorder.spans.tracer
        self.server = GrpcServer(
            settings.host,
            settings.port,
            service.servicers,
            service.reflection_names,
            application=application,
            reflection=not settings.production,
            tracing=TracingServerInterceptor(tracer, application.message_attributes) if tracer else None,
            authentication=_authentication(settings, runtime, application),
            metrics=recorder.metrics,
        )
        self._open = settings.auth is None

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then finish what is in flight. Raises OSError if the port is in use."""
        await self.server.start()
        messaging = asyncio.create_task(self._messaging.run())
        await self.server.set_serving(True)
        log.info("serving", port=self.server.port)
        if self._open:
            log.warning("authentication disabled", reason="AUTH_ISSUER is not set")
        progress = asyncio.create_task(self._check_progress())
        try:
            await first_completed(stop.wait(), asyncio.shield(messaging))
        finally:
            progress.cancel()
        await self._drain()
        messaging.cancel()
        await asyncio.gather(messaging, return_exceptions=True)
        log.info("stopped")

    async def _check_progress(self) -> None:
        """Report NOT_SERVING while something hangs, so that the process's supervisor restarts it."""
        stalled: str | None = None
        while True:
            await asyncio.sleep(PROGRESS_CHECK_INTERVAL_SECONDS)
            before, stalled = stalled, self._messaging.stalled()
            if (before is None) != (stalled is None):
                await self.server.set_serving(stalled is None)
                log.error("stalled", reason=stalled) if stalled else log.info("recovered")

    async def _drain(self) -> None:
        await self.server.set_serving(False)
        await asyncio.sleep(self._drain_delay_seconds)
        self._messaging.stop()
        await self.server.stop(CALLS_DRAIN_TIMEOUT_SECONDS)
        await self._messaging.drained()


def _authentication(
    settings: ServiceSettings, runtime: Runtime, application: Application
) -> grpc.aio.ServerInterceptor | None:
    if settings.auth is None:
        return None
    # Its dependencies (the extra `auth`) are needed only if authentication is enabled.
    from sagakit.auth.jwt import TokenVerifier
    from sagakit.grpc.authentication import AuthServerInterceptor

    verifier = TokenVerifier.from_settings(settings.auth, runtime, application.operator_scope)
    return AuthServerInterceptor(verifier)


def main(name: str, build: ServiceFactory, application: Application = DEFAULT_APPLICATION) -> None:
    """Run the service called `name` until SIGTERM or SIGINT.

    Reads the environment once (the variables of `ServiceSettings`, and OTEL_* for traces). On a signal it
    reports NOT_SERVING, finishes calls and events that are in flight, publishes what the outbox still
    holds, each within a time limit, and returns: exit code 0. If it cannot start, it prints the cause to
    standard error (`name: PORT is not set`) and exits with 1; so it does with a traceback in the log if a
    part of it crashes.
    """
    try:
        settings = ServiceSettings.from_environ(os.environ)
        logs.configure(name, settings.logs, application.log_fields)
        tune_gc()
        asyncio.run(_main(name, settings, build, application))
    except (SettingsError, OSError) as error:
        sys.exit(f"{name}: {error}")


def tune_gc() -> None:
    """Collect cycles less often, and never among the objects that exist now, which the process keeps.

    Reference counts free nearly everything at once. With Python's own thresholds a fifth of a busy
    service's CPU went into looking through the modules again (docs/performance.md).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


async def _main(
    name: str, settings: ServiceSettings, build: ServiceFactory, application: Application
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        tracer = await stack.enter_async_context(open_tracer(name, settings.environ))
        metrics = stack.enter_context(serve_metrics(name, settings.host, settings.metrics_port))
        observed = tracer is not None or metrics.enabled
        spans = Spans(tracer, settings.backend.messaging_system)
        runtime = Runtime(
            observer=Recorder(metrics, spans, application.dead_letter_reasons) if observed else Observer()
        )
        backend = await stack.enter_async_context(open_backend(settings.backend, runtime))
        await Process(name, settings, backend, runtime, build, application).run(stop)
