"""Spans of requests: an order's trace starts here, or continues the client's."""

import re
from dataclasses import dataclass

from opentelemetry.trace import SpanKind, Tracer
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sagakit.telemetry.spans import fail, in_span
from sagakit.telemetry.traceparent import TRACEPARENT, context_of, traceparent_of
from services.gateway.auth import PROBES
from services.gateway.metrics import METHODS, on_start

TRACERESPONSE = "traceresponse"
"""Header that names the request's trace (https://w3c.github.io/trace-context/#traceresponse-header)."""
_CONVERTER = re.compile(r":\w+}")
"""The converter in a route template (`{id:name}`), which is left out of names."""


@dataclass(slots=True)
class TracingMiddleware:
    """Records a span for every request except probes, and names it in the answer's headers."""

    app: ASGIApp
    tracer: Tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self.app(scope, receive, send)
            return
        # Two traceparent headers contradict each other: neither is used.
        parents = Headers(scope=scope).getlist(TRACEPARENT)
        context = context_of(parents[0] if len(parents) == 1 else None)
        method = scope["method"] if scope["method"] in METHODS else "HTTP"
        span = self.tracer.start_span(method, context, SpanKind.SERVER)

        def add_header(message: Message) -> None:
            MutableHeaders(scope=message)[TRACERESPONSE] = traceparent_of(span)
            span.set_attribute("http.response.status_code", message["status"])
            if message["status"] >= 500:
                fail(span, str(message["status"]), "")

        with in_span(span):
            span.set_attribute("http.request.method", method)
            span.set_attribute("url.path", scope["path"])
            try:
                await self.app(scope, receive, on_start(send, add_header))
            finally:
                # Known only after routing.
                if template := getattr(scope.get("route"), "path", ""):
                    path = _CONVERTER.sub("}", template)
                    span.update_name(f"{method} {path}")
                    span.set_attribute("http.route", path)
