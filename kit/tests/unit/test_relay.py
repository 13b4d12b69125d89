"""The relay: publishes at once, deletes after the broker's answer, and leaves failures to a sweeper."""

import asyncio

import pytest

from sagakit.errors import OutcomeUnknown, Poison
from sagakit.events import Event
from sagakit.observer import Observer
from sagakit.outbox import RELAY_GRACE_SECONDS
from sagakit.relay import DELETE_LINGER_SECONDS, MAX_BATCH, MAX_WAITING
from sagakit.tables import MAX_MUTATIONS
from sagakit.testing.clock import settled
from tests.support.counter import COUNTER, TOPIC, a_store, an_event, counting
from tests.support.harness import Harness, background


def events(count: int, prefix: str = "e") -> list[Event]:
    return [an_event(f"{prefix}{number}") for number in range(count)]


@pytest.fixture
async def harness() -> Harness:
    return Harness()


async def test_committed_event_is_published_at_once_and_then_deleted(harness: Harness):
    """Known mistakes: publishing in the request path by scanning rows; an outbox that only grows."""
    async with background(harness.relay.run()):
        await harness.store.transact([COUNTER], counting(events=[an_event("e1", time="now")]))
        await settled()

        [(topic, [message])] = harness.bus.published
        assert topic == TOPIC
        assert message.data == b'{"n": 1}'
        assert message.attributes == {"eventid": "e1", "type": "counter.Counted", "time": "now"}
        await harness.clock.advance(1)
        assert harness.in_outbox == {}
        assert harness.tables.calls["due"] == 0


async def test_event_is_not_published_without_its_commit(harness: Harness):
    harness.memory.unavailable = True
    async with background(harness.relay.run()):
        with pytest.raises(Exception, match="unavailable"):
            await harness.store.transact([COUNTER], counting(events=[an_event()]))
        await harness.clock.advance(60)

    assert harness.bus.attempts == 0


async def test_row_is_not_deleted_before_the_broker_answers(harness: Harness):
    harness.bus.open.clear()
    async with background(harness.relay.run()):
        await harness.commit_and_enqueue(an_event("e0"))
        await harness.clock.advance(60)
        assert harness.bus.attempts == 1
        assert set(harness.in_outbox) == {"e0"}

        harness.bus.open.set()
        await harness.clock.advance(1)

        assert harness.in_outbox == {}


async def test_events_gather_in_a_batch_while_the_broker_is_busy(harness: Harness):
    harness.bus.open.clear()
    async with background(harness.relay.run()):
        for event in events(4, "busy"):
            harness.relay.enqueue([event])
            await settled()
        for event in events(150):
            harness.relay.enqueue([event])
        await settled()
        assert harness.bus.attempts == 4

        harness.bus.open.set()
        await settled()

        assert sorted(len(batch) for _, batch in harness.bus.published) == [1, 1, 1, 1, 150]


async def test_batches_and_commits_stay_within_their_limits(harness: Harness):
    async with background(harness.relay.run()):
        await harness.commit_and_enqueue(*events(3 * MAX_BATCH + 1))
        await harness.clock.advance(5)

    assert max(len(batch) for _, batch in harness.bus.published) == MAX_BATCH
    assert len(set(harness.bus.eventids)) == 3 * MAX_BATCH + 1
    assert max(len(mutations) for mutations in harness.tables.committed) == MAX_MUTATIONS
    assert harness.in_outbox == {}


async def test_short_broker_outage_is_retried(harness: Harness):
    harness.bus.unavailable = True
    async with background(harness.relay.run()):
        await harness.commit_and_enqueue(an_event("e0"))
        await harness.clock.advance(0.05)
        harness.bus.unavailable = False
        await harness.clock.advance(5)

    assert harness.bus.eventids == ["e0"]
    assert harness.in_outbox == {}


async def test_long_broker_outage_leaves_events_to_the_sweeper(harness: Harness):
    harness.bus.unavailable = True
    sweeper = harness.outbox_sweeper()
    async with background(harness.relay.run()) as task:
        await harness.commit_and_enqueue(*events(3))
        await harness.clock.advance(30)
        assert set(harness.in_outbox) == {"e0", "e1", "e2"}
        await asyncio.wait_for(harness.relay.drained(), 10)
        assert not task.done()

        harness.bus.unavailable = False
        for _ in range(4):
            await sweeper.sweep()
            await harness.clock.advance(1)

    assert set(harness.bus.eventids) == {"e0", "e1", "e2"}
    assert harness.in_outbox == {}


async def test_sweeper_probes_an_unavailable_broker_with_one_row(harness: Harness):
    harness.bus.unavailable = True
    async with background(harness.relay.run()):
        await harness.commit_and_enqueue(*events(20))
        await harness.clock.advance(30)
        assert harness.relay.capacity == 1

        await harness.outbox_sweeper().sweep()

        assert harness.relay.capacity == 0
        assert sum(row.entity["claims"] for row in harness.in_outbox.values()) == 1
        harness.bus.unavailable = False
        await harness.clock.advance(10)
        assert harness.relay.capacity == MAX_WAITING


async def test_unpublishable_event_does_not_block_its_batch(harness: Harness):
    harness.bus.unpublishable = lambda message: message.attributes["eventid"] == "e1"
    async with background(harness.relay.run()) as task:
        await harness.commit_and_enqueue(*events(4))
        await harness.clock.advance(5)

        assert sorted(harness.bus.eventids) == ["e0", "e2", "e3"]
        assert set(harness.in_outbox) == {"e1"}
        await asyncio.wait_for(harness.relay.drained(), 10)
        assert not task.done()


async def test_events_beyond_the_queue_limit_stay_in_the_outbox(harness: Harness):
    harness.bus.open.clear()
    async with background(harness.relay.run()):
        harness.relay.enqueue(events(MAX_WAITING + 500))
        await settled()

        assert harness.relay.capacity == 0
        harness.bus.open.set()
        async with asyncio.timeout(10):
            while harness.relay.capacity < MAX_WAITING:
                await harness.clock.advance(0.1)
        assert len(harness.bus.messages) == MAX_WAITING


async def test_drained_waits_until_events_are_published_and_deleted(harness: Harness):
    async with background(harness.relay.run()):
        await asyncio.wait_for(harness.relay.drained(), 10)
        await harness.commit_and_enqueue(*events(3))

        drained = asyncio.create_task(harness.relay.drained())
        await settled()
        assert not drained.done()
        await harness.clock.advance(1)

        assert drained.done()
        assert harness.in_outbox == {}


async def test_idle_since_is_the_last_progress_while_events_are_unfinished(harness: Harness):
    harness.bus.open.clear()
    async with background(harness.relay.run()):
        await harness.clock.advance(100)
        idle, began = harness.relay.idle_since, harness.clock.monotonic()
        harness.relay.enqueue(events(1, "first"))
        await harness.clock.advance(10)
        harness.relay.enqueue(events(1, "second"))
        await harness.clock.advance(10)
        busy = harness.relay.idle_since

        harness.bus.open.set()
        await harness.clock.advance(1)

        assert (idle, busy, harness.relay.idle_since) == (None, began, None)


async def test_each_deleted_event_is_progress(harness: Harness):
    async with background(harness.relay.run()):
        began = harness.clock.monotonic()
        await harness.commit_and_enqueue(an_event("published"))
        await settled()
        harness.bus.open.clear()
        harness.relay.enqueue([an_event("stuck")])
        await harness.clock.advance(10)

        assert harness.relay.idle_since == pytest.approx(began + DELETE_LINGER_SECONDS)


@pytest.mark.parametrize("error", [OutcomeUnknown("no answer"), Poison("unstorable")])
async def test_failed_delete_is_left_to_the_sweeper(harness: Harness, error):
    async with background(harness.relay.run()) as task:
        await harness.commit_and_enqueue(an_event("e0"))
        harness.memory.failures.append(error)
        await harness.clock.advance(1)
        assert set(harness.in_outbox) == {"e0"}
        await harness.commit_and_enqueue(an_event("e1"))
        await harness.clock.advance(1)

        assert set(harness.in_outbox) == {"e0"}
        assert not task.done()


async def test_crash_between_commit_and_publish_loses_no_event(harness: Harness):
    """Known mistake: a relay that only runs inline after the commit; a crash strands events for ever."""
    crashed, sweeper = a_store(harness.tables, harness.runtime), harness.outbox_sweeper()
    await crashed.transact([COUNTER], counting(events=[an_event("e1")]))
    async with background(harness.relay.run()):
        await sweeper.sweep()
        await harness.clock.advance(1)
        assert harness.bus.messages == []

        await harness.clock.advance(RELAY_GRACE_SECONDS)
        await sweeper.sweep()
        await harness.clock.advance(1)

        assert harness.bus.eventids == ["e1"]
        assert harness.bus.messages[0].data == b'{"n": 1}'
        assert harness.in_outbox == {}


async def test_one_of_two_processes_takes_a_row_over(harness: Harness):
    other = Harness(clock=harness.clock, bus=harness.bus, memory=harness.memory)
    await harness.commit(an_event("e0"))
    await harness.clock.advance(60)
    async with background(harness.relay.run()), background(other.relay.run()):
        await asyncio.gather(harness.outbox_sweeper().sweep(), other.outbox_sweeper().sweep())
        await harness.clock.advance(1)

    assert harness.bus.eventids == ["e0"]


async def test_observer_learns_how_often_a_row_was_claimed(harness: Harness):
    claims: list[int] = []

    class Enqueued(Observer):
        def enqueued(self, topic: str, event: Event, claims_of_row: int) -> None:
            claims.append(claims_of_row)

    harness = Harness(observer=Enqueued())
    await harness.commit_and_enqueue(an_event("e0"))
    for _ in range(2):
        await harness.clock.advance(120)
        await harness.outbox_sweeper().sweep()

    assert claims == [0, 1, 2]
