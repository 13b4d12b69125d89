"""Spans of gRPC calls: the trace continues from the caller to the service, in the call's metadata."""

from typing import Any

import grpc
from opentelemetry.trace import Span, SpanKind, Tracer

from sagakit.application import MessageAttributes
from sagakit.grpc.interceptors import (
    HEALTH_METHODS,
    Behavior,
    UnaryServerInterceptor,
    code_name,
    with_metadata,
)
from sagakit.telemetry.spans import fail, in_span
from sagakit.telemetry.traceparent import TRACEPARENT, context_of, traceparent_of

_SERVER_ERRORS = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
"""https://opentelemetry.io/docs/specs/semconv/rpc/grpc/: for a client every code but OK is an error."""


class TracingServerInterceptor(UnaryServerInterceptor):
    """A span for each call. It belongs outside the interceptor that turns errors into statuses."""

    def __init__(self, tracer: Tracer, attributes: MessageAttributes) -> None:
        """`attributes` of the response are added to the span."""
        self._tracer = tracer
        self._attributes = attributes

    async def serve(
        self, behavior: Behavior, details: grpc.HandlerCallDetails, request: Any, context: Any
    ) -> Any:
        parent = dict(details.invocation_metadata or ()).get(TRACEPARENT)
        span = self._tracer.start_span(details.method[1:], context_of(parent), SpanKind.SERVER)
        with in_span(span, no_failure=grpc.aio.AbortError):
            _describe(span, details.method)
            try:
                response = await behavior(request, context)
            except grpc.aio.AbortError:
                code = code_name(context.code())
                _end(span, code, failed=code in _SERVER_ERRORS)
                raise
            span.set_attributes(self._attributes(response))
            _end(span, "OK", failed=False)
            return response


class TracingClientInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """One span for each call of a channel, however many attempts gRPC makes."""

    def __init__(self, tracer: Tracer, attributes: MessageAttributes) -> None:
        """`attributes` of the request and the response are added to the span."""
        self._tracer = tracer
        self._attributes = attributes

    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        method: Any = client_call_details.method
        name = method.decode() if isinstance(method, bytes) else method
        if name.startswith(HEALTH_METHODS):
            return await continuation(client_call_details, request)
        with in_span(self._tracer.start_span(name[1:], kind=SpanKind.CLIENT)) as span:
            _describe(span, name)
            span.set_attributes(self._attributes(request))
            details = with_metadata(client_call_details, TRACEPARENT, traceparent_of(span))
            call = await continuation(details, request)
            code = await call.code()
            _end(span, code.name, failed=code is not grpc.StatusCode.OK)
            if code is grpc.StatusCode.OK:
                span.set_attributes(self._attributes(await call))
            return call


def _describe(span: Span, method: str) -> None:
    span.set_attributes({"rpc.system.name": "grpc", "rpc.method": method[1:]})


def _end(span: Span, code: str, *, failed: bool) -> None:
    span.set_attribute("rpc.response.status_code", code)
    if failed:
        fail(span, code, "")
