"""The gRPC server of a service: health, reflection, deadlines, and errors mapped in one interceptor."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status

from sagakit import deadline
from sagakit.errors import (
    Contention,
    Forbidden,
    InvalidArgument,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
    Rejected,
    SagaError,
    Unauthenticated,
    Unavailable,
)
from sagakit.telemetry import metrics
from sagakit.telemetry.measures import NO_METRICS, Metrics
from sagakit.telemetry.red import MeasuredCalls
from sagakit.telemetry.spans import note

log = structlog.get_logger()

ERROR_DOMAIN = "saga.example.com"
DEFAULT_DEADLINE_SECONDS = 30.0
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

_CODES: tuple[tuple[type[SagaError], int], ...] = (
    (InvalidArgument, code_pb2.INVALID_ARGUMENT),
    (NotFound, code_pb2.NOT_FOUND),
    (NotAllowed, code_pb2.FAILED_PRECONDITION),
    (Unauthenticated, code_pb2.UNAUTHENTICATED),
    (Forbidden, code_pb2.PERMISSION_DENIED),
    (Contention, code_pb2.ABORTED),
    # The one code that says "may have been done" (https://grpc.io/docs/guides/status-codes/);
    # UNAVAILABLE would be repeated by clients.
    (OutcomeUnknown, code_pb2.DEADLINE_EXCEEDED),
    (Unavailable, code_pb2.UNAVAILABLE),
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
        measured = MeasuredCalls(measures, unknown_method) if measures.enabled else None
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


if TYPE_CHECKING:
    # Generic in the type stubs only.
    MethodHandler = grpc.RpcMethodHandler[Any, Any]


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Gives every unary call a deadline, and every error its code and its details (AIP-193)."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["MethodHandler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "MethodHandler | None":
        handler = await continuation(handler_call_details)
        if handler is None:
            return grpc.unary_unary_rpc_method_handler(unknown_method)
        if handler.unary_unary is None:
            return handler
        # Requests are read in there: gRPC itself answers INTERNAL, a defect of ours, to what is no message.
        guarded = _guarded(handler.unary_unary, handler.request_deserializer, handler_call_details.method)
        return grpc.unary_unary_rpc_method_handler(guarded, None, handler.response_serializer)


async def unknown_method(_: bytes, context: Any) -> None:
    """Answers calls of what is not there."""
    await _abort(context, code_pb2.UNIMPLEMENTED, "unknown-method", "there is no such method here")


def _guarded(behavior: Any, deserialize: Callable[[bytes], Any] | None, method: str) -> Any:
    async def call(request: bytes, context: Any) -> Any:
        remaining = context.time_remaining()
        seconds = DEFAULT_DEADLINE_SECONDS if remaining is None else min(remaining, DEFAULT_DEADLINE_SECONDS)
        try:
            # What is called in there is told as well: to give up there spares the work.
            with deadline.within(seconds):
                async with asyncio.timeout(seconds):
                    message = _read(request, deserialize)
                    note("orderid", getattr(message, "orderid", ""))
                    return await behavior(message, context)
        except grpc.aio.AbortError:
            # The servicer has answered already: the health service does so.
            raise
        except TimeoutError:
            await _abort(context, code_pb2.DEADLINE_EXCEEDED, "deadline-exceeded", "the deadline passed")
        except SagaError as error:
            if not isinstance(error, Rejected):
                log.warning("call failed", method=method, error=str(error))
            await context.abort_with_status(rpc_status.to_status(status_of(error)))
        except Exception:
            # A defect of ours: the caller gets no details.
            log.exception("call failed", method=method)
            await _abort(context, code_pb2.INTERNAL, "internal", "internal error")

    return call


def _read(request: bytes, deserialize: Callable[[bytes], Any] | None) -> Any:
    try:
        return deserialize(request) if deserialize else request
    except DecodeError as error:
        raise InvalidArgument("", "the request is no such message", "malformed-message") from error


async def _abort(context: Any, code: int, reason: str, message: str) -> None:
    info = error_details_pb2.ErrorInfo(reason=reason, domain=ERROR_DOMAIN)
    status = status_pb2.Status(code=code, message=message, details=[_packed(info)])
    await context.abort_with_status(rpc_status.to_status(status))


def status_of(error: SagaError) -> status_pb2.Status:
    """The gRPC status of an error of the tree."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), code_pb2.INTERNAL)
    reason = error.reason if isinstance(error, Rejected) else type(error).__name__.lower()
    details: list[Any] = [error_details_pb2.ErrorInfo(reason=reason, domain=ERROR_DOMAIN)]
    if isinstance(error, InvalidArgument):
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field, description=str(error), reason=error.why
        )
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    return status_pb2.Status(code=code, message=str(error), details=[_packed(each) for each in details])


def _packed(detail: Any) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
