"""Spans of events and steps: what is done about an order, as parts of one trace (OpenTelemetry's API).

Named by OpenTelemetry's conventions (https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/);
`orderid`, `eventid` and `attempt` are called as in the logs.
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
from sagakit.events import Event
from sagakit.tables import DUE, Entity, Key, Row
from sagakit.telemetry.traceparent import TRACEPARENT, context_of, traceparent_of

_NOTHING: AbstractContextManager[Span] = nullcontext(INVALID_SPAN)


def set_attribute(name: str, value: AttributeValue) -> None:
    """A fact about what is under way, for whoever traces it."""
    span = trace.get_current_span()
    if span.is_recording():
        span.set_attribute(name, value)


def failed(error: BaseException) -> None:
    """What is under way did not work."""
    fail(trace.get_current_span(), type(error).__name__, str(error))


@contextmanager
def in_span(span: Span, no_failure: type[BaseException] = Rejected) -> Iterator[Span]:
    """The span is the current one meanwhile, and ends. An exception is its error, but of one kind."""
    try:
        with trace.use_span(span, record_exception=False, set_status_on_exception=False):
            yield span
    except BaseException as error:
        if not isinstance(error, no_failure):
            fail(span, type(error).__name__, str(error))
        raise
    finally:
        span.end()


def fail(span: Span, kind: str, why: str) -> None:
    """What the span is about did not work."""
    if not span.is_recording():
        return
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR, why)


class Spans:
    """Makes spans with a tracer; without one nothing here does anything, and what is given is given back."""

    def __init__(self, tracer: Tracer | None = None, system: str = "") -> None:
        """`system`: what the message broker is called (`messaging.system`)."""
        self._tracer = tracer
        self._system = system

    @property
    def tracer(self) -> Tracer | None:
        return self._tracer

    @property
    def enabled(self) -> bool:
        return self._tracer is not None

    def transaction(self) -> AbstractContextManager[Span]:
        """Around everything a step takes, with the attempts at it."""
        return _NOTHING if self._tracer is None else in_span(self._tracer.start_span("transaction"))

    def with_trace_context(self, writes: Mapping[Key, Entity]) -> Mapping[Key, Entity]:
        """Those that wait for something know what made them wait: whoever is reminded goes on from there."""
        if self._tracer is None:
            return writes
        mark = {TRACEPARENT: traceparent_of(trace.get_current_span())}
        return {key: {**entity, **mark} if DUE in entity else entity for key, entity in writes.items()}

    def producer_spans(self, topic: str, events: Sequence[Event]) -> Sequence[Event]:
        """The events, each with the context that everything done about it belongs to."""
        if self._tracer is None:
            return events
        return [self._created(self._tracer, topic, event) for event in events]

    def _created(self, tracer: Tracer, topic: str, event: Event) -> Event:
        span = tracer.start_span(f"create {topic}", kind=SpanKind.PRODUCER)
        if span.is_recording():
            span.set_attributes(self._messaging("create", "create", topic, event.eventid, event.about))
        span.end()
        return replace(event, attributes={**event.attributes, TRACEPARENT: traceparent_of(span)})

    def publishing(self, topic: str, event: Event, claims: int = 0) -> Span:
        """From the offer to the relay to the broker's answer; what a sweeper found has a link to how."""
        if self._tracer is None:
            return INVALID_SPAN
        found_by = trace.get_current_span().get_span_context()
        span = self._tracer.start_span(
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
        """Around what is done about an event, until it is to be acknowledged."""
        if self._tracer is None:
            return _NOTHING
        # Named `<service>-service.<topic>`, by the wire contract.
        topic = subscription.partition(".")[2]
        attributes = delivery.message.attributes
        span = self._tracer.start_span(
            f"process {topic}", context_of(attributes.get(TRACEPARENT)), SpanKind.CONSUMER
        )
        if span.is_recording():
            eventid = attributes.get("eventid", "")
            span.set_attributes(self._messaging("process", "process", topic, eventid))
            span.set_attribute("messaging.destination.subscription.name", subscription)
            span.set_attribute("attempt", delivery.attempt)
        return in_span(span)

    def sweeping(self, kind: str, found: int) -> AbstractContextManager[Span]:
        """Around a look at what is overdue, where there is something; it belongs to no order's trace."""
        if self._tracer is None or not found:
            return _NOTHING
        span = self._tracer.start_span(f"sweep {kind}", Context())
        span.set_attribute("found", found)
        return in_span(span)

    def claiming(self, key: Key, row: Row) -> AbstractContextManager[Span]:
        """Around what is done about something overdue: part of its own trace, with a link to the sweep."""
        if self._tracer is None:
            return _NOTHING
        sweep = trace.get_current_span().get_span_context()
        context = context_of(_traceparent_in(row.entity))
        span = self._tracer.start_span(f"claim {key.kind}", context, links=[Link(sweep)])
        span.set_attribute("name", key.name)
        return in_span(span)

    def _messaging(
        self, name: str, type_: str, topic: str, eventid: str, about: str = ""
    ) -> Mapping[str, AttributeValue]:
        attributes = {
            "messaging.system": self._system,
            "messaging.operation.name": name,
            "messaging.operation.type": type_,
            "messaging.destination.name": topic,
            "messaging.message.id": eventid,
            "eventid": eventid,
        }
        return {**attributes, "orderid": about} if about else attributes


def _traceparent_in(entity: Entity) -> object:
    """An outbox row has it among the attributes of its event, what else waits as a property."""
    return entity.get(TRACEPARENT) or entity.get("attributes", {}).get(TRACEPARENT)
