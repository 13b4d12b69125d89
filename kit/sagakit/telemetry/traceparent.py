"""Trace context as text: W3C's `traceparent`, in call metadata, event attributes and stored entities."""

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sagakit import tables

TRACEPARENT = tables.TRACEPARENT
MAX_LENGTH = 256
"""In characters. Version 00 has 55; later versions may append fields, which we do not need."""

# Not the propagators of OTEL_PROPAGATORS: callers choose the length of `tracestate` and `baggage`, and the
# length of a message's attribute is limited.
_W3C = TraceContextTextMapPropagator()


def traceparent_of(span: Span) -> str:
    """Return the `traceparent` of a span, recorded or not; "" if the span is invalid."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, trace.set_span_in_context(span, Context()))
    return carrier.get(TRACEPARENT, "")


def context_of(traceparent: object) -> Context:
    """Return the context whose parent span is the one named; an empty one if `traceparent` is malformed."""
    if not isinstance(traceparent, str) or len(traceparent) > MAX_LENGTH:
        return Context()
    return _W3C.extract({TRACEPARENT: traceparent}, Context())


def trace_id_of(traceparent: object) -> str | None:
    """Return the trace id in a `traceparent`; None if it is missing or malformed."""
    return _hex(trace.get_current_span(context_of(traceparent)))


def current_trace_id() -> str | None:
    """Return the id of the current trace; None outside of a trace."""
    return _hex(trace.get_current_span())


def _hex(span: Span) -> str | None:
    context = span.get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None
