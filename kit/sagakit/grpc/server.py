"""The gRPC server of a service: health, reflection, and what every call passes through."""

import asyncio
from collections.abc import Callable, Sequence

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from sagakit.grpc.errors import ErrorInterceptor, unknown_method
from sagakit.grpc.metrics import MetricsInterceptor
from sagakit.telemetry import metrics
from sagakit.telemetry.instruments import NO_METRICS, Metrics

MAX_CONCURRENT_CALLS = 1_000
MAX_MESSAGE_BYTES = 1024 * 1024
TIDY_SECONDS = 1.0
SERVER_OPTIONS = (
    # A port that is taken is an error, not something to share.
    ("grpc.so_reuseport", 0),
    # Clients reconnect now and then, and so find new replicas behind a headless service.
    ("grpc.max_connection_age_ms", 5 * 60 * 1000),
    ("grpc.max_connection_age_grace_ms", 30 * 1000),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
)

Register = Callable[[grpc.aio.Server], None]


class GrpcServer:
    """Serves servicers at `host:port` from `start` to `stop`; says NOT_SERVING until told otherwise."""

    def __init__(
        self,
        host: str,
        port: int,
        servicers: Sequence[Register],
        names: Sequence[str],
        *,
        reflected: bool = True,
        traced: grpc.aio.ServerInterceptor | None = None,
        sign_in: grpc.aio.ServerInterceptor | None = None,
        measures: Metrics = NO_METRICS,
    ) -> None:
        """`names`: the full names of the gRPC services, for health and, if it is `reflected`, reflection."""
        self._address = f"{host}:{port}"
        self._servicers = servicers
        self._names = names
        self._reflected = reflected
        measured = MetricsInterceptor(measures, unknown_method) if measures.enabled else None
        # The first is outermost.
        interceptors = (traced, measured, ErrorInterceptor(), sign_in)
        self._interceptors = [each for each in interceptors if each is not None]
        self._serving = False
        measures.gauge(metrics.SERVING, lambda: [(self._serving, {})])
        self._health = HealthServicer()
        self._server: grpc.aio.Server | None = None
        self.port = port
        """The port served at, once started (where 0 was asked for: the one that was free)."""

    async def start(self) -> None:
        """Listen. Raises OSError where the address cannot be had."""
        self._server = grpc.aio.server(
            interceptors=self._interceptors,
            options=SERVER_OPTIONS,
            maximum_concurrent_rpcs=MAX_CONCURRENT_CALLS,
        )
        for register in self._servicers:
            register(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if self._reflected:
            self._reflect(self._server)
        await self.set_serving(False)
        try:
            self.port = self._server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise OSError(f"cannot listen at {self._address}") from error
        await self._server.start()

    def _reflect(self, server: grpc.aio.Server) -> None:
        health = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
        reflection.enable_server_reflection([*self._names, health, reflection.SERVICE_NAME], server)

    async def set_serving(self, serving: bool) -> None:
        """What health checks hear from now on, for the server as a whole and for each service."""
        self._serving = serving
        status = health_pb2.HealthCheckResponse
        for name in ("", *self._names):
            await self._health.set(name, status.SERVING if serving else status.NOT_SERVING)

    async def stop(self, grace_seconds: float) -> None:
        """Take no new calls; end those under way that take longer than the grace."""
        if self._server is not None:
            await self._server.stop(grace_seconds)
            await _calls_ended()


async def _calls_ended() -> None:
    """Calls that were cancelled have tidied up: `stop()` does not wait for them (grpc/grpc#37239)."""
    names = {task: getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()}
    if calls := [task for task, name in names.items() if name == "_schedule_rpc_coro"]:
        await asyncio.wait(calls, timeout=TIDY_SECONDS)
