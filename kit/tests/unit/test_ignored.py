"""A delivery whose attributes tell that it concerns nothing here costs nearly nothing; no other is lost."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager

import pytest

from sagakit.bus import Message
from sagakit.consumer import MAX_OUTSTANDING
from sagakit.ignored import Ignored
from sagakit.observer import Observer, Report
from sagakit.testing.clock import settled
from tests.support.harness import OTHER_SUBSCRIPTION, SUBSCRIPTION, ConsumerHarness, a_message, until


class Watching(Observer):
    """Records which deliveries were processed, and which were ignored."""

    def __init__(self) -> None:
        self.processed: list[str] = []
        self.skipped: list[str] = []

    def delivery(self, subscription: str, delivery: object) -> AbstractContextManager[Report]:
        self.processed.append(subscription)
        return super().delivery(subscription, delivery)  # type: ignore[arg-type]

    def ignored(self, subscription: str) -> None:
        self.skipped.append(subscription)


@pytest.fixture
async def harness() -> ConsumerHarness:
    ignores = {"things": Ignored("thing", "status", frozenset({"moved", "weighed"}))}
    return ConsumerHarness(observer=Watching(), ignores=ignores)


@pytest.mark.parametrize(
    "message",
    [
        a_message(status="moved"),
        a_message(status="weighed", again="true"),
        # Neither is looked into: without an eventid a message that is handled becomes a dead letter.
        Message(b"\xff", {"type": "thing", "status": "moved"}),
    ],
    ids=["event", "reminder", "malformed"],
)
async def test_ignored_event_is_acknowledged_without_being_processed(harness: ConsumerHarness, message):
    async with harness.running():
        delivery = await harness.deliver(message)

        assert delivery.settled == ["ack"]
        assert harness.consumer.in_flight[SUBSCRIPTION] == 0
        assert harness.consumer.idle_since is None
    assert (harness.observer.skipped, harness.observer.processed) == ([SUBSCRIPTION], [])
    assert (harness.handled, harness.bus.messages) == ([], [])


@pytest.mark.parametrize(
    "attributes",
    [{}, {"status": "sent"}, {"status": ""}, {"status": "Moved"}, {"type": "other"}, {"Status": "moved"}],
    ids=str,
)
async def test_every_other_event_is_processed(harness: ConsumerHarness, attributes: Mapping[str, str]):
    message = a_message()
    named = {"status": "moved"} if "type" in attributes else {}
    async with harness.running():
        delivery = await harness.deliver(Message(b"", {**message.attributes, **named, **attributes}))

    assert delivery.settled == ["ack"]
    assert (harness.observer.skipped, harness.observer.processed) == ([], [SUBSCRIPTION])


async def test_events_are_ignored_on_their_topic_only(harness: ConsumerHarness):
    async with harness.running():
        harness.pulls(OTHER_SUBSCRIPTION)[-1].deliver(a_message(status="moved"))
        await settled()

    assert harness.observer.processed == [OTHER_SUBSCRIPTION]


async def test_cloudevent_without_attributes_of_ours_is_processed(harness: ConsumerHarness):
    theirs = {"ce-id": "e1", "ce-source": "/things", "ce-type": "thing", "ce-specversion": "1.0"}
    async with harness.running():
        await harness.deliver(Message(b"", {**theirs, "status": "moved"}))

    assert [event.type for event in harness.handled] == ["thing"]


async def test_burst_of_ignored_events_counts_towards_saturation(harness: ConsumerHarness):
    async with harness.running():
        deliveries = [harness.pull.deliver(a_message(status="moved")) for _ in range(MAX_OUTSTANDING - 1)]
        await settled()
        below = harness.consumer.is_saturated
        deliveries += [harness.pull.deliver(a_message(status="moved")) for _ in range(MAX_OUTSTANDING)]
        await settled()

        assert (below, harness.consumer.is_saturated) == (False, True)
    assert all(each.settled == ["ack"] for each in deliveries)


async def test_ignored_event_waits_for_no_other(harness: ConsumerHarness):
    hung = asyncio.Event()
    harness.handle = lambda _: until(hung)
    async with harness.running():
        slow = await harness.deliver(a_message())
        ignored = await harness.deliver(a_message(eventid="e2", status="moved"))

        assert (slow.settled, ignored.settled) == ([], ["ack"])
        hung.set()
    assert slow.settled == ["ack"]


@pytest.mark.parametrize(
    ("type", "attribute", "values"),
    [
        ("thing", "status", ()),
        ("thing", "the status", {"a"}),
        ("thing", "", {"a"}),
        ('th"ing', "status", {"a"}),
        ("thing", "status", {"a", 'b"c'}),
        ("thing", "status", {"a\\"}),
        ("thing", "status", {"a\n"}),
    ],
)
def test_declaration_that_is_no_filter_is_an_error(type: str, attribute: str, values):
    with pytest.raises(ValueError, match=r"values|attribute|printable"):
        Ignored(type, attribute, frozenset(values))
