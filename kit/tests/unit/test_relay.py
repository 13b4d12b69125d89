"""The relay: publishes at once, deletes after the broker's answer, and leaves what fails to the sweeper."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from sagakit.errors import OutcomeUnknown, Poison
from sagakit.events import Event
from sagakit.outbox import RELAY_GRACE_SECONDS, Outbox
from sagakit.relay import MAX_BATCH, MAX_WAITING, Relay
from sagakit.sweeper import Sweeper
from sagakit.tables import MAX_MUTATIONS, Key
from tests.support.clock import Clock, settled
from tests.support.manual_bus import ManualBus
from tests.support.steps import COUNTER, OUTBOX, TOPIC, a_store, an_event, counting
from tests.support.tables import CountedTables, MemoryTables


def events(count: int, prefix: str = "e") -> list[Event]:
    return [an_event(f"{prefix}{number}") for number in range(count)]


@dataclass
class Bench:
    """A relay between tables and a bus worked by hand."""

    clock: Clock = field(default_factory=Clock)
    bus: ManualBus = field(default_factory=ManualBus)
    memory: MemoryTables = field(default_factory=MemoryTables)

    def __post_init__(self) -> None:
        self.tables = CountedTables(self.memory)
        self.runtime = self.clock.runtime()
        self.outbox = Outbox(OUTBOX, self.runtime)
        self.relay = Relay(self.tables, self.bus, TOPIC, self.outbox, self.runtime)
        self.sweeper = Sweeper(
            self.tables, OUTBOX, self.relay.take_over, self.runtime, capacity=lambda: self.relay.capacity
        )

    async def commit(self, *several: Event) -> None:
        """As a step does, by a process that dies before it publishes."""
        for start in range(0, len(several), 25):
            await self.memory.commit(self.outbox.inserts(several[start : start + 25]))

    async def commit_and_offer(self, *several: Event) -> None:
        await self.commit(*several)
        self.relay.enqueue(several)

    @property
    def left(self) -> set[str]:
        """The rows in the outbox."""
        return {key.name for key in self.memory.rows if key.kind == OUTBOX}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.relay.run())
        await settled()
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_what_a_step_says_is_published_at_once_and_then_deleted(bench: Bench):
    """The traps: publishing in the request path by scanning rows; an outbox that only grows."""
    store = a_store(bench.tables, bench.runtime, bench.relay)
    async with bench.running():
        await store.transact([COUNTER], counting(events=[an_event("said", time="now")]))
        await settled()

        [(topic, [message])] = bench.bus.published
        assert topic == TOPIC
        assert message.data == b'{"n": 1}'
        assert message.attributes == {"eventid": "said", "type": "counter.Counted", "time": "now"}
        await bench.clock.advance(1)
        assert bench.left == set()
        assert bench.tables.calls["due"] == 0


async def test_what_was_not_committed_is_not_published(bench: Bench):
    """Publishing a fact that no commit made true."""
    bench.memory.away = True
    store = a_store(bench.tables, bench.runtime, bench.relay)
    async with bench.running():
        with pytest.raises(Exception, match="away"):
            await store.transact([COUNTER], counting(events=[an_event()]))
        await bench.clock.advance(60)

    assert bench.bus.attempts == 0


async def test_nothing_is_deleted_before_the_broker_has_answered(bench: Bench):
    bench.bus.open.clear()
    async with bench.running():
        await bench.commit_and_offer(an_event("e0"))
        await bench.clock.advance(60)
        assert bench.bus.attempts == 1
        assert bench.left == {"e0"}

        bench.bus.open.set()
        await bench.clock.advance(1)

        assert bench.left == set()


async def test_what_comes_in_while_the_broker_is_busy_is_published_together(bench: Bench):
    bench.bus.open.clear()
    async with bench.running():
        for event in events(4, "busy"):
            bench.relay.enqueue([event])
            await settled()
        for event in events(150):
            bench.relay.enqueue([event])
        await settled()
        assert bench.bus.attempts == 4

        bench.bus.open.set()
        await settled()

        assert sorted(len(batch) for _, batch in bench.bus.published) == [1, 1, 1, 1, 150]


async def test_batches_and_commits_stay_within_their_limits(bench: Bench):
    async with bench.running():
        await bench.commit_and_offer(*events(3 * MAX_BATCH + 1))
        await bench.clock.advance(5)

    assert max(len(batch) for _, batch in bench.bus.published) == MAX_BATCH
    assert len(set(bench.bus.eventids)) == 3 * MAX_BATCH + 1
    assert max(len(mutations) for mutations in bench.tables.committed) == MAX_MUTATIONS
    assert bench.left == set()


async def test_deletes_share_commits(bench: Bench):
    async with bench.running():
        for event in events(20):
            await bench.commit_and_offer(event)
            await settled()
        await bench.clock.advance(1)

    assert bench.left == set()
    assert bench.tables.calls["commit"] <= 2


async def test_a_short_absence_of_the_broker_is_sat_out(bench: Bench):
    bench.bus.away = True
    async with bench.running():
        await bench.commit_and_offer(an_event("e0"))
        await bench.clock.advance(0.05)
        bench.bus.away = False
        await bench.clock.advance(5)

    assert bench.bus.eventids == ["e0"]
    assert bench.left == set()


async def test_a_long_absence_of_the_broker_leaves_events_to_the_sweeper(bench: Bench):
    bench.bus.away = True
    async with bench.running() as task:
        await bench.commit_and_offer(*events(3))
        await bench.clock.advance(30)
        assert bench.left == {"e0", "e1", "e2"}
        await asyncio.wait_for(bench.relay.drained(), 1)
        assert not task.done()

        bench.bus.away = False
        for _ in range(4):
            await bench.sweeper.sweep()
            await bench.clock.advance(1)

    assert set(bench.bus.eventids) == {"e0", "e1", "e2"}
    assert bench.left == set()


async def test_while_the_broker_is_away_the_sweeper_tries_it_with_one_row(bench: Bench):
    bench.bus.away = True
    async with bench.running():
        await bench.commit_and_offer(*events(20))
        await bench.clock.advance(30)
        assert bench.relay.capacity == 1

        await bench.sweeper.sweep()

        assert bench.relay.capacity == 0
        claimed = [row for key, row in bench.memory.rows.items() if row.entity["claims"]]
        assert len(claimed) == 1
        bench.bus.away = False
        await bench.clock.advance(10)
        assert bench.relay.capacity == MAX_WAITING


async def test_an_event_that_can_never_be_published_does_not_hold_up_its_batch(bench: Bench):
    bench.bus.unpublishable = lambda message: message.attributes["eventid"] == "e1"
    async with bench.running() as task:
        await bench.commit_and_offer(*events(4))
        await bench.clock.advance(5)

        assert sorted(bench.bus.eventids) == ["e0", "e2", "e3"]
        assert bench.left == {"e1"}
        await asyncio.wait_for(bench.relay.drained(), 1)
        assert not task.done()


async def test_more_than_fits_into_memory_is_left_in_the_outbox(bench: Bench):
    bench.bus.open.clear()
    async with bench.running():
        bench.relay.enqueue(events(MAX_WAITING + 500))
        await settled()

        assert bench.relay.capacity == 0
        bench.bus.open.set()
        async with asyncio.timeout(10):
            while bench.relay.capacity < MAX_WAITING:
                await bench.clock.advance(0.1)
        assert len(bench.bus.messages) == MAX_WAITING


async def test_drained_waits_until_what_was_offered_is_published_and_deleted(bench: Bench):
    async with bench.running():
        await asyncio.wait_for(bench.relay.drained(), 1)
        await bench.commit_and_offer(*events(3))

        drained = asyncio.create_task(bench.relay.drained())
        await settled()
        assert not drained.done()
        await bench.clock.advance(1)

        assert drained.done()
        assert bench.left == set()


@pytest.mark.parametrize("error", [OutcomeUnknown("no answer"), Poison("unstorable")])
async def test_a_delete_that_fails_is_left_to_the_sweeper_and_the_relay_goes_on(bench: Bench, error):
    async with bench.running() as task:
        await bench.commit_and_offer(an_event("e0"))
        bench.memory.failures.append(error)
        await bench.clock.advance(1)
        assert bench.left == {"e0"}
        await bench.commit_and_offer(an_event("e1"))
        await bench.clock.advance(1)

        assert bench.left == {"e0"}
        assert not task.done()


async def test_a_crash_between_commit_and_publish_strands_nothing(bench: Bench):
    """The trap: a relay that only runs inline after the commit; a crash strands events for ever."""
    dead = a_store(bench.tables, bench.runtime)
    await dead.transact([COUNTER], counting(events=[an_event("said")]))
    async with bench.running():
        await bench.sweeper.sweep()
        await bench.clock.advance(1)
        assert bench.bus.messages == []

        await bench.clock.advance(RELAY_GRACE_SECONDS)
        await bench.sweeper.sweep()
        await bench.clock.advance(1)

        assert bench.bus.eventids == ["said"]
        assert bench.bus.messages[0].data == b'{"n": 1}'
        assert bench.left == set()


async def test_of_two_processes_one_adopts_a_row(bench: Bench):
    other = Bench(clock=bench.clock, bus=bench.bus, memory=bench.memory)
    await bench.commit(an_event("e0"))
    await bench.clock.advance(60)
    async with bench.running(), other.running():
        await asyncio.gather(bench.sweeper.sweep(), other.sweeper.sweep())
        await bench.clock.advance(1)

    assert bench.bus.eventids == ["e0"]


async def test_a_row_that_cannot_be_published_is_tried_ever_more_rarely(bench: Bench):
    bench.bus.unpublishable = lambda _: True
    await bench.commit(an_event("e0"))
    tries = []
    async with bench.running():
        for minute in range(120):
            before = bench.bus.attempts
            await bench.sweeper.sweep()
            await bench.clock.advance(60)
            if bench.bus.attempts > before:
                tries.append(minute)

    pauses = [b - a for a, b in zip(tries, tries[1:], strict=False)]
    assert pauses == sorted(pauses)
    assert pauses[-1] in (10, 11)
    assert Key(OUTBOX, "e0") in bench.memory.rows
