"""Delays between the pulls of a subscription: short at first, longer while nothing gets better."""

import itertools

import pytest

from sagakit.consumer import PULL_BACKOFF, Outcome
from sagakit.errors import Unavailable
from tests.support.harness import ConsumerHarness, a_message, raises


@pytest.fixture
async def harness() -> ConsumerHarness:
    return ConsumerHarness()


async def test_pull_delays_grow_to_a_few_seconds(harness: ConsumerHarness):
    harness.store_unavailable = True
    async with harness.running():
        await harness.clock.advance(100)
        before = harness.backend_checks
        await harness.clock.advance(100)
        a_while = harness.backend_checks - before

        # Two subscriptions, each with delays between 0 and 5 s: 2.5 s on average.
        assert 2 * 100 / 5 <= a_while <= 2 * 100


async def test_pull_that_lasted_a_while_is_opened_again_soon(harness: ConsumerHarness):
    """However often a stream was reset before."""
    async with harness.running():
        for number in range(20):
            await harness.clock.advance(60)
            harness.pull.end(Unavailable("the stream was reset"))
            await harness.clock.advance(0.5)
            assert len(harness.pulls()) == number + 2


async def test_first_pause_is_short(harness: ConsumerHarness):
    async with harness.running():
        for count in range(1, 11):
            harness.handle = lambda _: Outcome.APPLIED
            await harness.deliver(a_message(eventid="e0"))
            harness.handle = raises(Unavailable("gone"))
            await harness.deliver(a_message())
            assert len(harness.pulls()) == count
            await harness.clock.advance(PULL_BACKOFF.first_seconds)

            assert len(harness.pulls()) == count + 1
            await harness.clock.advance(PULL_BACKOFF.cap_seconds + 1)


@pytest.mark.parametrize("recovers", [False, True])
async def test_delays_grow_while_the_store_answers_checks_and_no_event_can_be_applied(
    harness: ConsumerHarness, recovers: bool
):
    """For example only its writes fail, each after a timeout: each pull lasts a while, and events count."""
    events = itertools.count()

    async def fails_late() -> Outcome:
        if recovers and next(events) % 2:
            return Outcome.APPLIED
        await harness.clock.sleep(PULL_BACKOFF.cap_seconds + 1)
        raise Unavailable("no answer")

    harness.handle = lambda _: fails_late()
    async with harness.running():
        for _ in range(60):
            if not harness.pull.closed:
                harness.pull.deliver(a_message())
                harness.pull.deliver(a_message(eventid="e2"))
            await harness.clock.advance(PULL_BACKOFF.cap_seconds + 1.5)

    # Each pull lasts 6 s; the delays after it have up to 0.25 s, or grow to 5 s.
    assert (len(harness.pulls()) > 55) == recovers
