"""The consumer acknowledges an event after its commit, never before, and no event stops it."""

import asyncio
import gc

import pytest
from structlog.testing import capture_logs

from sagakit.bus import SubscriptionSpec
from sagakit.consumer import PULL_BACKOFF, UNKNOWN_ATTEMPTS, Outcome
from sagakit.errors import Contention, Unavailable
from sagakit.events import Event
from sagakit.runtime import Backoff
from sagakit.testing.clock import settled
from tests.support.harness import (
    OTHER_SUBSCRIPTION,
    ConsumerHarness,
    a_message,
    raises,
    until,
)


@pytest.fixture
async def harness() -> ConsumerHarness:
    return ConsumerHarness()


async def test_event_is_acknowledged_after_it_was_applied_and_not_before(harness: ConsumerHarness):
    applied = asyncio.Event()
    harness.handle = lambda _: until(applied)

    async with harness.running():
        delivery = await harness.deliver(a_message())
        assert delivery.settled == []

        applied.set()
        await settled()

        assert delivery.settled == ["ack"]
        assert harness.handled == [Event("e1", "thing", b"body", {}, topic="things")]


@pytest.mark.parametrize(
    ("type", "outcome"),
    [("thing", Outcome.DUPLICATE), ("thing", Outcome.IGNORED), ("of-another-type", Outcome.APPLIED)],
)
async def test_duplicate_or_irrelevant_event_is_acknowledged(harness: ConsumerHarness, type, outcome):
    harness.handle = lambda _: outcome

    with capture_logs() as logs:
        async with harness.running():
            delivery = await harness.deliver(a_message(type))

    is_ignored = outcome is Outcome.IGNORED or type != "thing"
    assert [entry["log_level"] for entry in logs] == ["debug" if is_ignored else "info"]
    assert delivery.settled == ["ack"]
    assert len(harness.handled) == (type == "thing")
    assert harness.bus.messages == []


@pytest.mark.parametrize(
    "error",
    [RuntimeError("a defect"), Contention("lost"), KeyError("x"), TimeoutError(), asyncio.CancelledError()],
)
async def test_failed_event_is_nacked_and_others_continue(harness: ConsumerHarness, error: BaseException):
    """Known mistakes: acknowledging on an exception, exiting on one.

    gRPC raises CancelledError to a caller whose channel was closed.
    """
    harness.handle = raises(error)
    async with harness.running() as task:
        failed = await harness.deliver(a_message())
        harness.handle = lambda _: Outcome.APPLIED
        fine = await harness.deliver(a_message(eventid="e2"))

        assert failed.settled == ["nack"]
        assert fine.settled == ["ack"]
        assert not task.done()
        assert len(harness.pulls()) == 1


async def test_unknown_event_is_left_to_newer_replicas_for_a_while(harness: ConsumerHarness):
    """Known mistake: an old replica acknowledges what only the newer release beside it can apply."""
    harness.handle = lambda _: Outcome.UNKNOWN

    async with harness.running() as task:
        attempts = (1, 2, UNKNOWN_ATTEMPTS - 1, UNKNOWN_ATTEMPTS, UNKNOWN_ATTEMPTS + 1)
        deliveries = [await harness.deliver(a_message(), attempt) for attempt in attempts]

        assert not task.done()
        assert [delivery.settled for delivery in deliveries] == [["nack"]] * 3 + [["ack"]] * 2
        assert harness.bus.messages == []


def test_unknown_event_is_acknowledged_before_the_broker_makes_it_a_dead_letter():
    spec = SubscriptionSpec("name", "topic", "dead")

    assert spec.max_delivery_attempts > UNKNOWN_ATTEMPTS
    delays = Backoff(spec.min_retry_seconds, spec.max_retry_seconds, 0)
    assert 600 < sum(delays.max_delay(attempt) for attempt in range(UNKNOWN_ATTEMPTS - 1)) < 1_200


async def test_event_carries_the_topic_it_was_received_from(harness: ConsumerHarness):
    async with harness.running():
        harness.pulls(OTHER_SUBSCRIPTION)[0].deliver(a_message(topic="things"))
        await settled()

    assert [event.topic for event in harness.handled] == ["others"]


async def test_nothing_is_pulled_while_the_store_is_unavailable(harness: ConsumerHarness):
    """Each redelivery counts, and too many make healthy events dead letters."""
    harness.handle = raises(Unavailable("gone"))
    async with harness.running():
        harness.store_unavailable = True
        delivery = await harness.deliver(a_message())

        assert delivery.settled == ["nack"]
        assert harness.pull.closed
        await harness.clock.advance(60)
        assert len(harness.pulls()) == 1
        assert harness.backend_checks > 5

        harness.store_unavailable = False
        await harness.clock.advance(5)
        assert len(harness.pulls()) == 2
        assert not harness.pull.closed


async def test_pause_of_one_subscription_does_not_affect_others(harness: ConsumerHarness):
    harness.handle = raises(Unavailable("gone"))
    async with harness.running():
        await harness.deliver(a_message())

        assert harness.pull.closed
        assert not harness.pulls(OTHER_SUBSCRIPTION)[-1].closed


async def test_all_events_in_flight_are_nacked_in_an_outage(harness: ConsumerHarness):
    gate = asyncio.Event()

    async def gone() -> Outcome:
        await gate.wait()
        raise Unavailable("gone")

    defects: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: defects.append(context))
    harness.handle = lambda _: gone()
    async with harness.running():
        deliveries = [harness.pull.deliver(a_message(eventid=str(number))) for number in range(5)]
        await settled()
        gate.set()
        await settled()

        assert [delivery.settled for delivery in deliveries] == [["nack"]] * 5
        assert len(harness.pulls()) == 1
    gc.collect()
    assert defects == []


async def test_consumer_waits_for_a_store_that_is_unavailable_at_start(harness: ConsumerHarness):
    harness.store_unavailable = True
    async with harness.running() as task:
        await harness.clock.advance(20)
        assert harness.pulls() == []
        assert not task.done()

        harness.store_unavailable = False
        await harness.clock.advance(5)

        assert len(harness.pulls()) == 1


async def test_ended_pull_is_opened_again(harness: ConsumerHarness):
    async with harness.running():
        harness.pull.end(Unavailable("permission denied"))
        await settled()
        assert len(harness.pulls()) == 1

        await harness.clock.advance(5)
        delivery = await harness.deliver(a_message())

        assert len(harness.pulls()) == 2
        assert delivery.settled == ["ack"]


async def test_stop_waits_for_events_in_flight(harness: ConsumerHarness):
    applied = asyncio.Event()
    harness.handle = lambda _: until(applied)
    task = asyncio.create_task(harness.consumer.run())
    await settled()
    delivery = await harness.deliver(a_message())

    harness.consumer.stop()
    await settled()
    assert all(pull.closed for pull in harness.pulls() + harness.pulls(OTHER_SUBSCRIPTION))
    assert not task.done()
    applied.set()
    await asyncio.wait_for(task, 5)

    assert delivery.settled == ["ack"]


async def test_stop_does_not_wait_for_an_unavailable_store(harness: ConsumerHarness):
    harness.store_unavailable = True
    task = asyncio.create_task(harness.consumer.run())
    await settled()

    harness.consumer.stop()

    await asyncio.wait_for(task, 5)


async def test_slow_event_does_not_block_others(harness: ConsumerHarness):
    stuck = asyncio.Event()
    harness.handle = lambda event: until(stuck) if event.eventid == "slow" else Outcome.APPLIED
    async with harness.running():
        slow = await harness.deliver(a_message(eventid="slow"))
        fast = await harness.deliver(a_message(eventid="fast"))

        assert fast.settled == ["ack"]
        assert slow.settled == []
        stuck.set()


async def test_paused_consumer_settles_what_is_in_flight_and_pulls_nothing_until_it_continues(
    harness: ConsumerHarness,
):
    applied = asyncio.Event()
    harness.handle = lambda _: until(applied)
    async with harness.running():
        in_flight = await harness.deliver(a_message())

        harness.consumer.pause(True)
        await settled()
        applied.set()
        await settled()

        assert in_flight.settled == ["ack"]
        assert [pull.closed for pull in harness.pulls()] == [True]
        assert harness.consumer.is_saturated, "no reminders are sent"
        await harness.clock.advance(60)
        assert len(harness.pulls()) == 1

        harness.consumer.pause(False)
        await harness.clock.advance(PULL_BACKOFF.cap_seconds)

        assert [pull.closed for pull in harness.pulls()] == [True, False]
