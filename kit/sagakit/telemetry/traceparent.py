"""The context of a trace as text: W3C's `traceparent`, in calls' metadata, events' attributes and rows."""

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACEPARENT = "traceparent"
MAX_LENGTH = 256
"""Version 00 has 55 characters; what later versions may append is not worth more."""

# Not the propagators of OTEL_PROPAGATORS: `tracestate` and `baggage` are as long as whoever calls likes,
# and an attribute of a message may not be.
_W3C = TraceContextTextMapPropagator()


def traceparent_of(span: Span) -> str:
    """Names the span, whether or not it is recorded; "" where there is none."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, trace.set_span_in_context(span, Context()))
    return carrier.get(TRACEPARENT, "")


def context_of(traceparent: object) -> Context:
    """The context in which what a `traceparent` names is the parent; an empty one where it makes no sense."""
    if not isinstance(traceparent, str) or len(traceparent) > MAX_LENGTH:
        return Context()
    return _W3C.extract({TRACEPARENT: traceparent}, Context())


def span_context_of(traceparent: object) -> SpanContext:
    """What a `traceparent` names; not valid where it makes no sense."""
    return trace.get_current_span(context_of(traceparent)).get_span_context()


def trace_id_of(traceparent: object) -> str | None:
    """The id of the trace that a `traceparent` belongs to."""
    if traceparent is None:
        return None
    return _hex(span_context_of(traceparent))


def current_trace_id() -> str | None:
    """Of the trace that the work under way belongs to; None where nothing is traced."""
    return _hex(trace.get_current_span().get_span_context())


def _hex(context: SpanContext) -> str | None:
    return f"{context.trace_id:032x}" if context.is_valid else None
