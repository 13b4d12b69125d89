"""A `due` that is implausibly far ahead is found: a process whose clock was fast has written it."""

import pytest

from sagakit.due import MAX_AHEAD_SECONDS
from sagakit.sweeper import FULL_SCAN_INTERVAL_SECONDS, PAGE
from tests.support.counter import OUTBOX, an_event
from tests.support.harness import SHARD, RemindersHarness, in_shard


@pytest.fixture
async def harness() -> RemindersHarness:
    return RemindersHarness()


@pytest.mark.parametrize("ahead", [MAX_AHEAD_SECONDS + 1, 3600, 10 * 365 * 86_400])
async def test_due_too_far_ahead_is_found(harness: RemindersHarness, ahead: float):
    """It was written by a process whose clock was fast."""
    await harness.waits("a", seconds=ahead)
    await harness.put(OUTBOX, "e", harness.outbox.inserts([an_event("e")])[0].entity, seconds=ahead)
    sweeper = harness.outbox_sweeper()

    await harness.sweep_after(1)
    await sweeper.sweep()
    await harness.sweep_after(16)

    assert harness.sent("a") == 1, "and it is due again after an interval by the right clock"
    assert harness.in_outbox["e"].entity["claims"] == 1
    await harness.sweep_after(30)
    assert harness.sent("a") == 2


async def test_due_that_may_be_right_is_waited_for(harness: RemindersHarness):
    await harness.sweep_after(1)
    await harness.waits("a", seconds=600)

    for _ in range(59):
        await harness.sweep_after(10)

    assert harness.sent("a") == 0


async def test_every_row_ahead_is_found_however_many_there_are(harness: RemindersHarness):
    names = in_shard("e", 12 * PAGE)
    for name in names:
        await harness.put(OUTBOX, name, harness.outbox.inserts([an_event(name)])[0].entity, seconds=3600)
    sweeper = harness.outbox_sweeper()

    for _ in range(3):
        await sweeper.visit(SHARD)

    assert {row.entity["claims"] for row in harness.in_outbox.values()} == {1}


async def test_rows_ahead_cost_one_query_a_shard_in_ten_minutes(harness: RemindersHarness):
    await harness.sweeper.sweep()
    harness.tables.ranges.clear()

    for _ in range(int(FULL_SCAN_INTERVAL_SECONDS / 10)):
        await harness.sweep_after(10)

    ahead = [start for start, end in harness.tables.ranges if end > start[:3] + "1"]
    assert len(ahead) == 16
    assert len(harness.tables.ranges) == 16 * 61
