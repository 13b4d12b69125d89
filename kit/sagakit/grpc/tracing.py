"""Spans of gRPC calls: the trace goes on from the caller to the service, in the metadata of the call."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
from opentelemetry.trace import Span, SpanKind, Tracer

from sagakit.grpc.errors import unknown_method
from sagakit.telemetry.spans import fail, in_span
from sagakit.telemetry.traceparent import TRACEPARENT, context_of, traceparent_of

HEALTH_METHODS = "/grpc."
"""Health and reflection: probes are no part of anything."""

_FAULTS_OF_A_SERVER = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
"""https://opentelemetry.io/docs/specs/semconv/rpc/grpc/: to a caller every other code is an error as well."""
_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}

if TYPE_CHECKING:
    # Generic in the type stubs only.
    MethodHandler = grpc.RpcMethodHandler[Any, Any]


class TracingServerInterceptor(grpc.aio.ServerInterceptor):
    """A span for each call. It stands outside of what turns errors into statuses, and logs them."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["MethodHandler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "MethodHandler | None":
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        # Whatever a stranger calls a method would be the name of a span.
        if (
            handler is None
            or method.startswith(HEALTH_METHODS)
            or handler.unary_unary in {None, unknown_method}
        ):
            return handler
        metadata = dict(handler_call_details.invocation_metadata or ())
        return grpc.unary_unary_rpc_method_handler(
            self._traced(handler.unary_unary, method, metadata.get(TRACEPARENT)),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _traced(self, behavior: Any, method: str, caller: object) -> Any:
        async def call(request: Any, context: Any) -> Any:
            span = self._tracer.start_span(method[1:], context_of(caller), SpanKind.SERVER)
            with in_span(span, no_failure=grpc.aio.AbortError):
                try:
                    answer = await behavior(request, context)
                except grpc.aio.AbortError:
                    _ended(span, _name(context.code()), _FAULTS_OF_A_SERVER)
                    raise
                _describe(span, method, answer)
                _ended(span, "OK")
                return answer

        return call


class TracingClientInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """A span for each call of a channel, with however many attempts gRPC makes."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        method: Any = client_call_details.method
        name = method.decode() if isinstance(method, bytes) else method
        if name.startswith(HEALTH_METHODS):
            return await continuation(client_call_details, request)
        with in_span(self._tracer.start_span(name[1:], kind=SpanKind.CLIENT)) as span:
            _describe(span, name, request)
            call = await continuation(_carrying(client_call_details, span), request)
            code = await call.code()
            _ended(span, code.name, _NAMES.values())
            if code is grpc.StatusCode.OK:
                _describe(span, name, await call)
            return call


def _carrying(details: grpc.aio.ClientCallDetails, span: Span) -> grpc.aio.ClientCallDetails:
    metadata = grpc.aio.Metadata(*(details.metadata or ()))
    metadata[TRACEPARENT] = traceparent_of(span)
    return grpc.aio.ClientCallDetails(
        details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
    )


def _describe(span: Span, method: str, message: Any) -> None:
    if not span.is_recording():
        return
    span.set_attributes({"rpc.system.name": "grpc", "rpc.method": method[1:]})
    about = getattr(message, "order_ticket", message)
    if orderid := getattr(about, "orderid", ""):
        span.set_attribute("orderid", orderid)


def _name(code: Any) -> str:
    """Of a status, which gRPC has as a number or as a member."""
    return _NAMES.get(code) or str(code.name)


def _ended(span: Span, code: str, faults: Any = frozenset()) -> None:
    span.set_attribute("rpc.response.status_code", code)
    if code != "OK" and code in faults:
        fail(span, code, "")
