"""Published events are deleted from the outbox: in few commits, and as fast as they are published."""

import asyncio
from collections.abc import Sequence

from sagakit.batching import BatchedTables, BatchLimits
from sagakit.observer import Observer
from sagakit.outbox import Outbox
from sagakit.relay import DELETERS, Relay
from sagakit.runtime import Runtime
from sagakit.tables import Mutation
from sagakit.testing.clock import settled
from sagakit.testing.tables import MemoryTables
from tests.support.counter import OUTBOX, TOPIC, an_event
from tests.support.harness import Harness, background
from tests.support.manual_bus import ManualBus


async def test_deletes_share_commits():
    harness = Harness()
    async with background(harness.relay.run()):
        for number in range(20):
            await harness.commit_and_enqueue(an_event(f"e{number}"))
            await settled()
        await harness.clock.advance(1)

    assert harness.in_outbox == {}
    assert harness.tables.calls["commit"] <= 2


async def test_few_commits_of_deletes_are_in_flight_at_once():
    class HeldCommits(MemoryTables):
        held = 0

        async def commit(self, mutations: Sequence[Mutation]) -> None:
            self.held += 1
            await answered.wait()
            await super().commit(mutations)

    answered, tables = asyncio.Event(), HeldCommits()
    harness = Harness(memory=tables)
    async with background(harness.relay.run()):
        for number in range(2 * DELETERS):
            harness.relay.enqueue([an_event(f"e{number}")])
            await harness.clock.advance(1)

        assert (len(harness.bus.eventids), tables.held) == (2 * DELETERS, DELETERS)
        answered.set()
        await harness.clock.advance(1)
        assert harness.relay.idle_since is None


async def test_deletes_keep_pace_with_published_events():
    """Known mistake: each commit of deletes waits for another one, so rows become due before their turn."""
    async with BatchedTables(MemoryTables(), BatchLimits(), Observer()) as tables:
        runtime = Runtime()
        outbox = Outbox(OUTBOX, runtime)
        relay = Relay(tables, ManualBus(), TOPIC, outbox, runtime)
        async with background(relay.run()):
            for number in range(40):
                some = [an_event(f"e{number}-{each}") for each in range(20)]
                await tables.commit(outbox.inserts(some))
                relay.enqueue(some)
            await asyncio.wait_for(relay.drained(), 3)

        assert await tables.page(OUTBOX, "", 1) == []
