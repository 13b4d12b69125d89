"""Runs a service as a process: reads settings, opens the backend, serves, and drains on SIGTERM."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress

import grpc
import structlog

from sagakit.application import DEFAULT_APPLICATION, Application
from sagakit.backends import Backend, open_backend
from sagakit.bus import Bus
from sagakit.concurrency import first_completed
from sagakit.descriptors import connections_within
from sagakit.errors import Poison, Unavailable
from sagakit.grpc.server import MAX_CONNECTIONS, GrpcServer
from sagakit.grpc.tracing import TracingServerInterceptor
from sagakit.messaging import Messaging, drain
from sagakit.observer import Observer
from sagakit.pauses import load_paused
from sagakit.runtime import Runtime
from sagakit.service import ServiceFactory
from sagakit.settings import ServiceSettings, SettingsError
from sagakit.telemetry import logging as logs
from sagakit.telemetry.prometheus import serve_metrics
from sagakit.telemetry.recorder import Recorder, recorder_of
from sagakit.telemetry.spans import Spans
from sagakit.telemetry.tracing import open_tracer

log = structlog.get_logger()

PROGRESS_CHECK_INTERVAL_SECONDS = 5.0
PAUSE_CHECK_INTERVAL_SECONDS = 2.0
START_CHECK_INTERVAL_SECONDS = 1.0
"""How often the subscriptions are checked until all were good once."""
SUBSCRIPTION_CHECK_INTERVAL_SECONDS = 10.0
"""And from then on."""
LOST_AFTER_SECONDS = 30.0
"""How long a subscription may be missing: emulators that restart lose it until they are provisioned again."""
GC_THRESHOLDS = (50_000, 20, 100)
"""Allocations before a generation-0 collection (CPython's default of 700 is reached within a request or
two), and collections of each generation before one of the next."""


class SubscriptionCheck:
    """Whether a service's subscriptions get what is published, checked at an interval.

    Until they have been good once, every problem counts, an unreachable broker too. From then on only a
    subscription that was lost does, and not at once: the service works without the broker, whose messages are
    kept in the outbox.
    """

    def __init__(self, bus: Bus, names: Sequence[str], runtime: Runtime) -> None:
        self._bus = bus
        self._names = names
        self._runtime = runtime
        self._were_good = False
        self._lost_at: float | None = None
        self.problem: str | None = "the subscriptions have not been checked yet"

    @property
    def interval_seconds(self) -> float:
        """The time until the next check."""
        return SUBSCRIPTION_CHECK_INTERVAL_SECONDS if self._were_good else START_CHECK_INTERVAL_SECONDS

    async def check(self) -> None:
        """Bring `problem` up to date."""
        try:
            found = await asyncio.gather(*map(self._bus.subscription_problem, self._names))
        except Unavailable as error:
            if not self._were_good:
                self.problem = f"the broker is unavailable: {error}"
            return
        problem = next(filter(None, found), None)
        if problem is None:
            self._were_good, self._lost_at, self.problem = True, None, None
            return
        if self._lost_at is None:
            self._lost_at = self._runtime.monotonic()
        if not self._were_good or self._runtime.monotonic() - self._lost_at >= LOST_AFTER_SECONDS:
            self.problem = problem


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
        self._name = name
        self._tables = backend.tables
        self._can_be_paused = settings.can_be_paused
        self._drain_delay_seconds = settings.drain_delay_seconds
        self._messaging = Messaging(name, settings, backend, runtime, build)
        self._subscriptions = SubscriptionCheck(backend.bus, self._messaging.subscriptions, runtime)
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
            max_connections=connections_within(MAX_CONNECTIONS),
            tracing=TracingServerInterceptor(tracer, application.message_attributes) if tracer else None,
            authentication=_authentication(settings, runtime, application),
            metrics=recorder.metrics,
        )
        self._open = settings.auth is None

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set or a part fails, then finish what is in flight.

        Raises SettingsError if the port is in use, and what the part raised.
        """
        await self.server.set_ready(False)
        try:
            await self.server.start()
        except OSError as error:
            raise SettingsError("PORT", f"cannot be used: {error}") from error
        messaging = asyncio.create_task(self._messaging.run())
        await self.server.set_serving(True)
        log.info("serving", port=self.server.port)
        if self._open:
            log.warning("authentication disabled", reason="AUTH_ISSUER is not set")
        checks = [self._check_progress(), self._check_readiness()]
        if self._can_be_paused:
            checks.append(self._check_pause())
        try:
            await first_completed(stop.wait(), asyncio.shield(messaging), *checks)
        except Exception as error:
            log.error("draining after a failure", error=repr(error))
            raise
        finally:
            await drain(self.server, self._messaging, self._drain_delay_seconds)
            messaging.cancel()
            await asyncio.gather(messaging, return_exceptions=True)
            log.info("stopped")

    async def _check_readiness(self) -> None:
        """Report the services NOT_SERVING while no events reach them, and log why."""
        logged = None
        while True:
            await self._subscriptions.check()
            problem = self._subscriptions.problem
            await self.server.set_ready(problem is None)
            if problem != logged:
                log.warning("not ready", reason=problem) if problem else log.info("ready")
            logged = problem
            await asyncio.sleep(self._subscriptions.interval_seconds)

    async def _check_pause(self) -> None:
        """Pull no events while the service is paused on purpose; what cannot be read changes nothing."""
        while True:
            with suppress(Unavailable, Poison):
                self._messaging.pause(self._name in await load_paused(self._tables))
            await asyncio.sleep(PAUSE_CHECK_INTERVAL_SECONDS)

    async def _check_progress(self) -> None:
        """Report NOT_SERVING while something hangs, so that the process's supervisor restarts it."""
        stalled: str | None = None
        while True:
            await asyncio.sleep(PROGRESS_CHECK_INTERVAL_SECONDS)
            before, stalled = stalled, self._messaging.stalled()
            if (before is None) != (stalled is None):
                await self.server.set_serving(stalled is None)
                log.error("stalled", reason=stalled) if stalled else log.info("recovered")


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
    standard error (`name: PORT is not set`) and exits with 1. If a part of it crashes, it does the same as
    on a signal, logs the traceback and exits with 1.
    """
    try:
        settings = ServiceSettings.from_environ(os.environ)
        logs.configure(name, settings.logs, application.log_fields)
        tune_gc()
        asyncio.run(_main(name, settings, build, application))
    except SettingsError as error:
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
