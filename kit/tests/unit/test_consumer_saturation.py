"""A consumer reports saturation at its flow-control limit, and since when it makes no progress."""

import asyncio

import pytest

from sagakit.consumer import MAX_OUTSTANDING, SATURATION_WINDOW_SECONDS, Outcome
from sagakit.errors import Unavailable
from sagakit.testing.clock import settled
from tests.support.harness import OTHER_SUBSCRIPTION, ConsumerHarness, a_message, raises, until


@pytest.fixture
async def harness() -> ConsumerHarness:
    return ConsumerHarness()


async def test_consumer_that_pulls_every_subscription_is_not_saturated(harness: ConsumerHarness):
    before = harness.consumer.is_saturated
    async with harness.running():
        pulling = harness.consumer.is_saturated
        harness.handle = raises(Unavailable("gone"))
        harness.store_unavailable = True
        await harness.deliver(a_message())
        paused = harness.consumer.is_saturated
        harness.store_unavailable = False
        await harness.clock.advance(10)
        again = harness.consumer.is_saturated

    assert (before, pulling, paused, again) == (True, False, True, False)
    assert harness.consumer.is_saturated


async def test_settled_deliveries_are_not_in_flight(harness: ConsumerHarness):
    async with harness.running():
        for number in range(2 * MAX_OUTSTANDING):
            await harness.deliver(a_message(eventid=str(number)))

        assert not harness.consumer.is_saturated


async def test_flow_control_limit_is_per_subscription(harness: ConsumerHarness):
    stuck = asyncio.Event()
    harness.handle = lambda _: until(stuck)
    async with harness.running():
        for number in range(MAX_OUTSTANDING - 1):
            harness.pull.deliver(a_message(eventid=f"one {number}"))
            harness.pulls(OTHER_SUBSCRIPTION)[-1].deliver(a_message(eventid=f"other {number}"))
        await settled()

        assert not harness.consumer.is_saturated
        await harness.deliver(a_message(eventid="one more"))
        assert harness.consumer.is_saturated
        stuck.set()


@pytest.mark.parametrize("seconds", [0, 2 * SATURATION_WINDOW_SECONDS])
async def test_consumer_is_saturated_at_the_limit_and_a_while_longer(harness: ConsumerHarness, seconds):
    """For example a hundred charges wait for a slow provider, and thousands more are queued."""
    slow = asyncio.Event()
    harness.handle = lambda _: until(slow)
    saturated = []
    async with harness.running():
        for number in range(MAX_OUTSTANDING):
            saturated.append(harness.consumer.is_saturated)
            harness.pull.deliver(a_message(eventid=str(number)))
        assert not any(saturated)
        assert harness.consumer.is_saturated
        await harness.clock.advance(seconds)
        assert harness.consumer.is_saturated
        slow.set()
        await harness.clock.advance(SATURATION_WINDOW_SECONDS - 0.1)
        assert harness.consumer.is_saturated
        await harness.clock.advance(0.2)
        assert not harness.consumer.is_saturated


async def test_idle_since_is_the_last_progress_while_events_are_in_flight(harness: ConsumerHarness):
    hung = asyncio.Event()
    async with harness.running():
        await harness.clock.advance(100)
        idle = harness.consumer.idle_since
        harness.handle = lambda _: until(hung)
        began = harness.clock.monotonic()
        first, second = harness.pull.deliver(a_message()), harness.pull.deliver(a_message(eventid="e2"))
        await harness.clock.advance(10)
        busy = harness.consumer.idle_since
        hung.set()
        await harness.clock.advance(1)

    assert (idle, busy, harness.consumer.idle_since) == (None, began, None)
    assert first.settled == second.settled == ["ack"]


async def test_each_settled_delivery_is_progress(harness: ConsumerHarness):
    hung = asyncio.Event()
    harness.handle = lambda event: until(hung) if event.eventid == "e1" else Outcome.APPLIED
    async with harness.running():
        harness.pull.deliver(a_message())
        await harness.clock.advance(10)
        later = harness.clock.monotonic()
        harness.pull.deliver(a_message(eventid="e2"))
        await harness.clock.advance(10)

        assert harness.consumer.idle_since == later
        hung.set()
