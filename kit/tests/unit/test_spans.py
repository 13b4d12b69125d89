"""Spans: nothing happens if tracing is off, and malformed trace contexts break nothing."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

from sagakit.consumer import Outcome
from sagakit.errors import NotFound, OutcomeUnknown, Poison, Unavailable
from sagakit.events import Event
from sagakit.tables import DUE, Key
from sagakit.telemetry.spans import Spans, in_span, set_attribute
from sagakit.telemetry.traceparent import (
    MAX_LENGTH,
    TRACEPARENT,
    context_of,
    current_trace_id,
    trace_id_of,
    traceparent_of,
)
from tests.support.counter import COUNTER, TOPIC, an_event, counting
from tests.support.harness import ConsumerHarness, Harness, a_message, background, raises
from tests.support.traces import Traces

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
GOOD = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
BAD = [
    None,
    7,
    b"00",
    "",
    "garbage",
    GOOD.upper(),
    f"00-{'0' * 32}-00f067aa0ba902b7-01",
    f"00-{TRACE_ID}-{'0' * 16}-01",
    f"ff-{TRACE_ID}-00f067aa0ba902b7-01",
    f"{GOOD}-more",
    f"01{GOOD[2:]}-{'x' * MAX_LENGTH}",
    "-" * 100_000,
    GOOD + "\x00",
    "é" * 55,
]


class Untouchable:
    """Fails if any attribute is read."""

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(f"{name} was computed in vain")


def test_spans_that_are_off_touch_nothing_and_return_their_arguments():
    off, anything = Spans(), Untouchable()
    events, writes = [anything], {anything: anything}

    annotated = off.annotate(anything, writes, events)
    assert (annotated[0] is writes, annotated[1] is events) == (True, True)
    assert not off.publishing(anything, anything).is_recording()
    nothing = off.transaction()
    assert off.processing(anything, anything) is nothing
    assert off.claiming(anything, anything) is nothing
    assert off.sweeping(anything, 1) is nothing
    with nothing, nothing:
        set_attribute("name", anything)
        assert current_trace_id() is None


async def test_without_tracing_events_and_rows_have_no_trace_context():
    harness = Harness()

    changes = await harness.store.transact([COUNTER], counting(events=[an_event("e1")]))

    assert changes.events[0].attributes == {}
    assert all(TRACEPARENT not in str(row.entity) for row in harness.memory.rows.values())


@pytest.mark.parametrize("traceparent", BAD, ids=range(len(BAD)))
def test_malformed_traceparent_is_ignored(traceparent):
    assert trace_id_of(traceparent) is None
    span = Traces().tracer("one").start_span("root", context_of(traceparent))
    assert span.parent is None
    assert len(traceparent_of(span)) == len(GOOD)


def test_traceparent_is_continued_and_nothing_else_passed_on():
    later_version = f"01{GOOD[2:]}-what-may-come"

    for traceparent in (GOOD, f" {GOOD} ", later_version):
        span = Traces().tracer("one").start_span("child", context_of(traceparent))
        assert trace_id_of(traceparent) == TRACE_ID
        assert traceparent_of(span)[:36] == f"00-{TRACE_ID}-"
        assert len(traceparent_of(span)) == len(GOOD)


async def process(traces: Traces, attributes: dict[str, str], handle: Callable[[Event], Outcome]) -> None:
    """Deliver an event with these attributes to a consumer."""
    harness = ConsumerHarness(handle, observer=traces.recorder("one"))
    async with harness.running():
        await harness.deliver(a_message(**attributes), attempt=3)


@pytest.mark.parametrize("traceparent", [each for each in BAD if isinstance(each, str)], ids=range(11))
async def test_event_with_a_malformed_traceparent_gets_a_trace_of_its_own(traceparent):
    traces = Traces()

    await process(traces, {TRACEPARENT: traceparent}, lambda _: Outcome.APPLIED)

    (span,) = traces.spans
    assert (span.name, span.parent) == ("process things", None)
    assert span.attributes["outcome"] == "event applied"
    assert span.attributes["attempt"] == 3


@pytest.mark.parametrize(
    ("error", "kind", "why"),
    [(Poison("no-use"), "Poison", "no-use"), (Unavailable("the store"), "Unavailable", "the store")],
)
async def test_error_of_a_handler_is_the_status_of_its_span(error, kind, why):
    traces = Traces()

    await process(traces, {TRACEPARENT: GOOD}, raises(error))

    (span,) = traces.spans
    assert span.parent.trace_id == int(TRACE_ID, 16)
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, why)
    assert span.attributes["error.type"] == kind


def test_rejection_is_no_error_of_the_span():
    traces = Traces()

    with pytest.raises(NotFound), in_span(traces.tracer("one").start_span("call")):
        raise NotFound("unknown-parcel", "not found")

    assert traces.spans[0].status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(
    ("failure", "attempts"), [(None, 1), (OutcomeUnknown("no answer"), 2)], ids=["at once", "again"]
)
async def test_transaction_span_has_the_attempt_and_is_the_parent_of_its_events(failure, attempts):
    traces = Traces()
    harness = Harness(observer=traces.recorder("one"))
    harness.memory.failures += [failure] if failure else []

    async with background(harness.relay.run()):
        transaction = harness.store.transact([COUNTER], counting(events=[an_event("e1")]))
        await asyncio.gather(transaction, harness.clock.advance(1))
        await harness.clock.advance(1)

    (transaction,) = (span for span in traces.spans if span.name == "transaction")
    (publish,) = (span for span in traces.spans if span.name == f"publish {TOPIC}")
    created = [span for span in traces.spans if span.name == f"create {TOPIC}"]
    assert transaction.attributes["attempt"] == attempts
    assert len(created) == attempts
    assert publish.parent.span_id == created[-1].context.span_id
    assert harness.bus.messages[0].attributes[TRACEPARENT] == traceparent_of(
        trace.NonRecordingSpan(created[-1].context)
    )


async def test_unpublishable_event_is_an_error_in_its_trace():
    traces = Traces()
    harness = Harness(observer=traces.recorder("one"))
    harness.bus.unpublishable = lambda message: message.attributes["eventid"] == "bad"

    async with background(harness.relay.run()):
        harness.relay.enqueue([an_event("bad"), an_event("good")])
        await harness.clock.advance(1)

    status = {span.attributes["eventid"]: span.status.status_code for span in traces.spans}
    assert status == {"bad": StatusCode.ERROR, "good": StatusCode.UNSET}


def test_only_waiting_entities_store_the_trace_context():
    traces = Traces()
    spans = Spans(traces.tracer("one"))
    waits, settled_ = Key("Ticket", "a"), Key("Ticket", "b")

    with spans.transaction() as transaction:
        marked, _ = spans.annotate(TOPIC, {waits: {DUE: "due"}, settled_: {"status": "sold"}}, [])

    assert marked == {
        waits: {DUE: "due", TRACEPARENT: traceparent_of(transaction)},
        settled_: {"status": "sold"},
    }


def test_unsampled_trace_is_passed_on_and_not_recorded():
    traces = Traces()
    spans = Spans(traces.tracer("one", ALWAYS_OFF))

    with spans.transaction():
        _, (event,) = spans.annotate(TOPIC, {}, [an_event("e1")])
        span = spans.publishing(TOPIC, replace(event, about={"parcelid": "p"}))

    assert not span.is_recording()
    assert traces.spans == []
    assert int(event.attributes[TRACEPARENT][-2:], 16) & 1 == 0
