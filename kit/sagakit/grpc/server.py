"""The gRPC server of a service: health, reflection, and the interceptors of every call."""

import asyncio
from collections.abc import Callable, Sequence

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from sagakit.application import DEFAULT_APPLICATION, Application
from sagakit.grpc.errors import ErrorServerInterceptor
from sagakit.grpc.metrics import MetricsInterceptor
from sagakit.grpc.stream_limit import StreamLimitInterceptor
from sagakit.telemetry import metrics as names
from sagakit.telemetry.instruments import NO_METRICS, Metrics

MAX_CONCURRENT_CALLS = 2_000
"""Further calls fail with RESOURCE_EXHAUSTED."""
MAX_CONNECTIONS = 1_000
MAX_MESSAGE_BYTES = 1024 * 1024
MAX_METADATA_BYTES = 16 * 1024
"""Twice the longest bearer token that is accepted, which callers may pass on from requests of their own."""
MAX_CONNECTION_AGE_SECONDS = 20.0
CLEANUP_TIMEOUT_SECONDS = 1.0
SERVER_OPTIONS = (
    # A port that is in use is an error; it is not shared.
    ("grpc.so_reuseport", 0),
    # Clients reconnect at this interval (varied by a tenth), so that they find new replicas behind a headless
    # service: with DNS answers that are up to 30 seconds old, within a minute.
    ("grpc.max_connection_age_ms", int(MAX_CONNECTION_AGE_SECONDS * 1000)),
    ("grpc.max_connection_age_grace_ms", 30 * 1000),
    # Dead clients and silent connections are disconnected.
    ("grpc.keepalive_time_ms", 60 * 1000),
    ("grpc.keepalive_timeout_ms", 20 * 1000),
    ("grpc.server_handshake_timeout_ms", 5 * 1000),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # By default calls are rejected at random from 8 KiB on.
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", 2 * MAX_METADATA_BYTES),
)


Register = Callable[[grpc.aio.Server], None]


class GrpcServer:
    """Serves servicers at `host:port` from `start` to `stop`.

    Its health service reports two things: of the name "" whether the process works, and of each service
    whether it is ready as well. Both are NOT_SERVING until `set_serving`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        servicers: Sequence[Register],
        service_names: Sequence[str],
        *,
        application: Application = DEFAULT_APPLICATION,
        reflection: bool = True,
        max_connections: int = MAX_CONNECTIONS,
        tracing: grpc.aio.ServerInterceptor | None = None,
        authentication: grpc.aio.ServerInterceptor | None = None,
        metrics: Metrics = NO_METRICS,
    ) -> None:
        """`service_names`: full names of the gRPC services, for health and, if enabled, reflection."""
        self._address = f"{host}:{port}"
        self._servicers = servicers
        self._service_names = service_names
        self._reflection = reflection
        self._options = (*SERVER_OPTIONS, ("grpc.max_allowed_incoming_connections", max_connections))
        measuring = MetricsInterceptor(metrics) if metrics.enabled else None
        errors = ErrorServerInterceptor(application.error_domain, application.message_attributes)
        # The first is outermost.
        interceptors = (measuring, tracing, errors, StreamLimitInterceptor(), authentication)
        self._interceptors = [each for each in interceptors if each is not None]
        self._serving, self._ready = False, True
        metrics.gauge(names.SERVING, lambda: [(self._serving and self._ready, {})])
        self._health = HealthServicer()
        self._server: grpc.aio.Server | None = None
        self.port = port
        """The port served at, once started (if 0 was requested, the one that was free)."""

    async def start(self) -> None:
        """Listen. Raises OSError if the address cannot be used."""
        self._server = grpc.aio.server(
            interceptors=self._interceptors,
            options=self._options,
            maximum_concurrent_rpcs=MAX_CONCURRENT_CALLS,
        )
        for register in self._servicers:
            register(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if self._reflection:
            health = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
            reflected = [*self._service_names, health, reflection.SERVICE_NAME]
            reflection.enable_server_reflection(reflected, self._server)
        await self.set_serving(False)
        try:
            self.port = self._server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise OSError(f"cannot listen at {self._address}") from error
        await self._server.start()

    async def set_serving(self, serving: bool) -> None:
        """Set whether the process works: it neither hangs nor drains."""
        self._serving = serving
        await self._report_health()

    async def set_ready(self, ready: bool) -> None:
        """Set whether the services are ready, while the process works; they are from the beginning."""
        self._ready = ready
        await self._report_health()

    async def _report_health(self) -> None:
        for name in ("", *self._service_names):
            serving = self._serving and (self._ready or not name)
            status = health_pb2.HealthCheckResponse
            await self._health.set(name, status.SERVING if serving else status.NOT_SERVING)

    async def stop(self, grace_seconds: float) -> None:
        """Reject new calls and wait for current ones; cancel those that take longer than the grace."""
        if self._server is not None:
            await self._server.stop(grace_seconds)
            await _wait_for_cancelled_calls()


async def _wait_for_cancelled_calls() -> None:
    """Wait until cancelled calls have cleaned up: `stop()` does not (grpc/grpc#37239)."""
    names = {task: getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()}
    if calls := [task for task, name in names.items() if name == "_schedule_rpc_coro"]:
        await asyncio.wait(calls, timeout=CLEANUP_TIMEOUT_SECONDS)
