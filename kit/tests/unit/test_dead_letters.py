"""An event that can never be applied becomes a dead letter: it is recorded somehow, and acknowledged."""

import pytest
import structlog

from sagakit.bus import Message
from sagakit.dead_letters import MAX_REDUCED_BYTES
from sagakit.errors import Poison
from tests.support.harness import DEAD_LETTERS, SUBSCRIPTION, ConsumerHarness, a_message, raises


@pytest.fixture
async def harness() -> ConsumerHarness:
    return ConsumerHarness()


async def test_poison_becomes_a_dead_letter_with_its_reason(harness: ConsumerHarness):
    """Known mistake: a poison message redelivered for ever."""
    harness.handle = raises(Poison("unknown-parcel: 4711"))
    message = a_message(googclient_x="1", goog_y="2", again="1")

    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as logs:
        async with harness.running():
            delivery = await harness.deliver(message)

    assert delivery.settled == ["ack"]
    (entry,) = [each for each in logs if each["event"] == "event dead-lettered"]
    logged = (entry["eventid"], entry["subscription"], entry["reason"])
    assert logged == ("e1", SUBSCRIPTION, "unknown-parcel: 4711")
    [(topic, [dead_letter])] = harness.bus.published
    assert topic == DEAD_LETTERS
    assert dead_letter.data == b"body"
    assert dead_letter.attributes == {
        "eventid": "e1",
        "type": "thing",
        "again": "1",
        "dead_letter_reason": "unknown-parcel: 4711",
        "dead_letter_subscription": SUBSCRIPTION,
        "dead_letter_time": "1970-01-12T13:46:40.000Z",
    }


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({}, "no-eventid"),
        ({"type": "thing"}, "no-eventid"),
        ({"eventid": "", "type": "thing"}, "no-eventid"),
        ({"eventid": "x" * 129, "type": "thing"}, "malformed-eventid"),
        ({"eventid": "a\nb", "type": "thing"}, "malformed-eventid"),
    ],
)
async def test_message_without_a_valid_eventid_is_dead_lettered(harness: ConsumerHarness, attributes, reason):
    async with harness.running():
        delivery = await harness.deliver(Message(b"{", attributes))

    assert delivery.settled == ["ack"]
    assert harness.bus.messages[0].attributes["dead_letter_reason"] == reason
    assert harness.handled == []


async def test_long_reason_is_cut_to_the_limit_of_an_attribute(harness: ConsumerHarness):
    harness.handle = raises(Poison("x" + "ü" * 2_000))

    async with harness.running():
        await harness.deliver(a_message())

    assert harness.bus.messages[0].attributes["dead_letter_reason"] == "x" + "ü" * 511, "1023 bytes"


async def test_dead_letter_that_the_broker_rejects_is_published_reduced(harness: ConsumerHarness):
    """For example a message that just fitted is too large with the reason. Redelivered, it would be again."""
    harness.handle = raises(Poison("unknown-parcel"))
    harness.bus.unpublishable = lambda message: len(message.data) > 70_000 or len(message.attributes) > 20
    large = Message(b"x" * 100_000, {"eventid": "e1", "type": "thing", **{f"a{n}": "1" for n in range(20)}})
    async with harness.running():
        delivery = await harness.deliver(large)

    assert delivery.settled == ["ack"]
    (dead_letter,) = harness.bus.messages
    assert dead_letter.data == b"x" * MAX_REDUCED_BYTES
    assert dead_letter.attributes == {
        "eventid": "e1",
        "type": "thing",
        "dead_letter_reason": "unknown-parcel",
        "dead_letter_subscription": SUBSCRIPTION,
        "dead_letter_time": "1970-01-12T13:46:40.000Z",
        "dead_letter_reduced": "65536 of 100000 bytes, 5 of 25 attributes",
    }


async def test_dead_letter_that_cannot_be_recorded_at_all_is_logged_and_acknowledged(
    harness: ConsumerHarness,
):
    harness.handle = raises(Poison("unknown-parcel"))
    harness.bus.unpublishable = lambda _: True
    async with harness.running():
        with structlog.testing.capture_logs() as logs:
            delivery = await harness.deliver(a_message())

    assert delivery.settled == ["ack"]
    (rejected,) = [each for each in logs if each["log_level"] == "error"]
    assert (rejected["event"], rejected["reason"]) == ("dead letter rejected", "unknown-parcel")


async def test_reason_that_cannot_be_encoded_is_escaped(harness: ConsumerHarness):
    harness.handle = raises(Poison("odd: \ud800"))
    async with harness.running():
        delivery = await harness.deliver(a_message())

    assert delivery.settled == ["ack"]
    assert harness.bus.messages[0].attributes["dead_letter_reason"] == "odd: \\ud800"


async def test_event_is_nacked_if_its_dead_letter_cannot_be_published(harness: ConsumerHarness):
    harness.handle = raises(Poison("never"))
    harness.bus.unavailable = True
    async with harness.running():
        delivery = await harness.deliver(a_message())
        assert delivery.settled == ["nack"]

        harness.bus.unavailable = False
        await harness.clock.advance(10)
        again = await harness.deliver(a_message(), attempt=2)

        assert again.settled == ["ack"]
        assert len(harness.bus.messages) == 1
