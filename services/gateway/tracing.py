"""Spans of requests: an order's trace starts here, or continues the client's."""

import re

from opentelemetry.trace import Span, SpanKind, Tracer
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sagakit.telemetry.spans import fail, in_span
from sagakit.telemetry.traceparent import TRACEPARENT, context_of, traceparent_of
from services.gateway.auth import PROBES

TRACERESPONSE = "traceresponse"
"""Header that tells a client which trace its request is in (https://w3c.github.io/trace-context/#traceresponse-header)."""
_CONVERTED = re.compile(r":\w+}")
"""The converter in a route template (`{id:name}`), which is left out of names."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class TracingMiddleware:
    """Records a span for every request except probes, and names it in the answer's headers."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        # Two traceparent headers contradict each other: neither is used.
        parents = Headers(scope=scope).getlist(TRACEPARENT)
        context = context_of(parents[0] if len(parents) == 1 else None)
        method = scope["method"] if scope["method"] in _METHODS else "HTTP"
        span = self._tracer.start_span(method, context, SpanKind.SERVER)

        async def add_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[TRACERESPONSE] = traceparent_of(span)
                _answered(span, message["status"])
            await send(message)

        with in_span(span):
            span.set_attribute("http.request.method", method)
            span.set_attribute("url.path", scope["path"])
            try:
                await self._app(scope, receive, add_header)
            finally:
                _name(span, method, scope)


def _answered(span: Span, status: int) -> None:
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        fail(span, str(status), "")


def _name(span: Span, method: str, scope: Scope) -> None:
    """Name the span by the route, which is known only after routing."""
    if routed := getattr(scope.get("route"), "path", ""):
        path = _CONVERTED.sub("}", routed)
        span.update_name(f"{method} {path}")
        span.set_attribute("http.route", path)
