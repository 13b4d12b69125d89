"""Spans of transactions, events and sweeps (OpenTelemetry's API).

Named by OpenTelemetry's conventions (https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/);
`eventid` and `attempt` have the same names as in the logs.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanKind, StatusCode, Tracer
from opentelemetry.util.types import AttributeValue

from sagakit.bus import Delivery
from sagakit.errors import Rejected
from sagakit.events import Event, eventid_of
from sagakit.tables import DUE, Entity, Key, Row
from sagakit.telemetry.traceparent import TRACEPARENT, context_of, traceparent_of

_NOTHING: AbstractContextManager[Span] = nullcontext(INVALID_SPAN)


def set_attribute(name: str, value: AttributeValue) -> None:
    """Set an attribute of the current span, if it is recorded."""
    span = trace.get_current_span()
    if span.is_recording():
        span.set_attribute(name, value)


def record_error(error: BaseException, span: Span | None = None) -> None:
    """Mark the span, by default the current one, as failed with `error`."""
    fail(span or trace.get_current_span(), type(error).__name__, str(error))


@contextmanager
def in_span(span: Span, no_failure: type[BaseException] = Rejected) -> Iterator[Span]:
    """Make the span current for the block, then end it. An exception other than `no_failure` is its error."""
    try:
        with trace.use_span(span, record_exception=False, set_status_on_exception=False):
            yield span
    except BaseException as error:
        if not isinstance(error, no_failure):
            record_error(error, span)
        raise
    finally:
        span.end()


def fail(span: Span, kind: str, why: str) -> None:
    """Mark the span as failed, with an `error.type` and a description."""
    if not span.is_recording():
        return
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR, why)


class Spans:
    """Creates spans. Without a tracer every method does nothing, and returns its argument unchanged."""

    def __init__(self, tracer: Tracer | None = None, system: str = "") -> None:
        """`system` is OpenTelemetry's name of the message broker (`messaging.system`)."""
        self.tracer = tracer
        self._system = system

    def transaction(self) -> AbstractContextManager[Span]:
        """Return the span of a transaction with all its attempts."""
        return _NOTHING if self.tracer is None else in_span(self.tracer.start_span("transaction"))

    def annotate(
        self, topic: str, writes: Mapping[Key, Entity], events: Sequence[Event]
    ) -> tuple[Mapping[Key, Entity], Sequence[Event]]:
        """Add the trace context to the entities that wait for a reply, and to events.

        Each event gets that of a PRODUCER span of its own; an entity that of the current span, so that
        a later reminder continues the same trace.
        """
        if self.tracer is None:
            return writes, events
        context = {TRACEPARENT: traceparent_of(trace.get_current_span())}
        marked = {key: {**entity, **context} if DUE in entity else entity for key, entity in writes.items()}
        return marked, [self._created(self.tracer, topic, event) for event in events]

    def _created(self, tracer: Tracer, topic: str, event: Event) -> Event:
        span = tracer.start_span(f"create {topic}", kind=SpanKind.PRODUCER)
        if span.is_recording():
            span.set_attributes(self._messaging("create", "create", topic, event.eventid, event.about))
        span.end()
        return replace(event, attributes={**event.attributes, TRACEPARENT: traceparent_of(span)})

    def publishing(self, topic: str, event: Event, claims: int = 0) -> Span:
        """Start the span from the relay's queue to the broker's answer. A claimed row links to its sweep."""
        if self.tracer is None:
            return INVALID_SPAN
        found_by = trace.get_current_span().get_span_context()
        span = self.tracer.start_span(
            f"publish {topic}",
            context_of(event.attributes.get(TRACEPARENT)),
            SpanKind.CLIENT,
            links=[Link(found_by)] if claims else (),
        )
        if span.is_recording():
            span.set_attributes(self._messaging("publish", "send", topic, event.eventid, event.about))
            span.set_attribute("attempt", claims + 1)
        return span

    def processing(self, subscription: str, delivery: Delivery) -> AbstractContextManager[Span]:
        """Return the span of processing an event, until it is acknowledged or nacked."""
        if self.tracer is None:
            return _NOTHING
        # Subscriptions are named `<service>-service.<topic>`.
        topic = subscription.partition(".")[2]
        parent = context_of(delivery.message.attributes.get(TRACEPARENT))
        span = self.tracer.start_span(f"process {topic}", parent, SpanKind.CONSUMER)
        if span.is_recording():
            eventid = eventid_of(delivery.message)
            span.set_attributes(self._messaging("process", "process", topic, eventid, {}))
            span.set_attribute("messaging.destination.subscription.name", subscription)
            span.set_attribute("attempt", delivery.attempt)
        return in_span(span)

    def sweeping(self, kind: str, found: int) -> AbstractContextManager[Span]:
        """Return the span of a sweep that found something: the root of a trace of its own."""
        if self.tracer is None or not found:
            return _NOTHING
        span = self.tracer.start_span(f"sweep {kind}", Context())
        span.set_attribute("found", found)
        return in_span(span)

    def claiming(self, key: Key, row: Row) -> AbstractContextManager[Span]:
        """Return the span of a claim: in the trace of the row, with a link to the sweep."""
        if self.tracer is None:
            return _NOTHING
        sweep = trace.get_current_span().get_span_context()
        # An outbox row has the trace context in its event's attributes.
        marked = row.entity if TRACEPARENT in row.entity else row.entity.get("attributes", {})
        context = context_of(marked.get(TRACEPARENT))
        span = self.tracer.start_span(f"claim {key.kind}", context, links=[Link(sweep)])
        span.set_attribute("name", key.name)
        return in_span(span)

    def _messaging(
        self, name: str, type_: str, topic: str, eventid: str, about: Mapping[str, str]
    ) -> Mapping[str, AttributeValue]:
        return {
            "messaging.system": self._system,
            "messaging.operation.name": name,
            "messaging.operation.type": type_,
            "messaging.destination.name": topic,
            "messaging.message.id": eventid,
            "eventid": eventid,
            **about,
        }
