"""The sweeper: finds entities past their `due`, and several sweepers claim each once."""

import asyncio
from contextlib import AbstractContextManager, nullcontext

import pytest

from sagakit.due import END_OF_TIME, MAX_AHEAD_SECONDS, SHARDS, due_bound, encode_due, shard_of
from sagakit.errors import Contention, Unavailable
from sagakit.observer import Observer
from sagakit.sweeper import (
    FULL_SCAN_INTERVAL_SECONDS,
    PAGE,
    TRAILING_SECONDS,
    Sweeper,
)
from sagakit.tables import DUE, Insert, Key, Row
from sagakit.testing.tables import CountedTables
from tests.support.counter import OUTBOX, an_event
from tests.support.harness import Harness, background


class SweeperHarness(Harness):
    """Sweeps the outbox, with a claim that records names."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.claimed: list[str] = []
        self.sweeper = self.a_sweeper(OUTBOX, self.claim)

    async def claim(self, key: Key, row: Row) -> bool:
        try:
            await self.tables.commit([self.outbox.claim(key, row)])
        except Contention:
            return True
        self.claimed.append(key.name)
        return True

    async def commit_events(self, *names: str) -> None:
        """Commit rows that are due in ten seconds."""
        await self.commit(*map(an_event, names))

    async def put(self, name: str, due: float) -> None:
        await self.memory.commit([Insert(Key(OUTBOX, name), {"claims": 0, DUE: encode_due(name, due)})])


@pytest.fixture
async def harness() -> SweeperHarness:
    return SweeperHarness()


def in_one_shard(count: int, shard: int = 3) -> list[str]:
    names, number = [], 0
    while len(names) < count:
        if shard_of(str(number)) == shard:
            names.append(str(number))
        number += 1
    return names


async def test_only_overdue_rows_are_claimed(harness: SweeperHarness):
    await harness.put("past", harness.clock.now() - 0.01)
    await harness.put("long past", harness.clock.now() - 86_400)
    await harness.put("now", harness.clock.now())
    await harness.put("future", harness.clock.now() + 0.01)

    await harness.sweeper.sweep()

    assert sorted(harness.claimed) == ["long past", "past"]


async def test_claimed_row_is_due_again_after_delays_that_double_up_to_ten_minutes(harness: SweeperHarness):
    await harness.commit_events("row")
    claimed_at = []
    for _ in range(6_000):
        await harness.clock.advance(1)
        await harness.sweeper.visit(shard_of("row"))
        if len(harness.claimed) > len(claimed_at):
            claimed_at.append(harness.clock.now())

    pauses = [b - a for a, b in zip(claimed_at, claimed_at[1:], strict=False)]
    assert pauses[:7] == [31, 61, 121, 241, 481, 601, 601]


async def test_one_of_several_sweepers_claims_each_row(harness: SweeperHarness):
    await harness.commit_events(*(str(number) for number in range(50)))
    await harness.clock.advance(11)
    sweepers = [harness.a_sweeper(OUTBOX, harness.claim) for _ in range(3)]

    await asyncio.gather(*(sweeper.sweep() for sweeper in sweepers))

    assert sorted(harness.claimed) == sorted(str(number) for number in range(50))


async def test_full_page_is_followed_by_the_next(harness: SweeperHarness):
    names = in_one_shard(2 * PAGE + 5)
    await harness.commit_events(*names)
    await harness.clock.advance(11)

    await harness.sweeper.visit(3)

    assert sorted(harness.claimed) == sorted(names)


async def test_row_that_is_left_is_tried_once_in_a_visit():
    """Although each page begins where the one before ended, as several rows may be due at one time."""
    found: list[int] = []

    class Sweeps(Observer):
        def sweep(self, kind: str, count: int) -> AbstractContextManager[None]:
            found.append(count)
            return nullcontext()

    async def leave(key: Key, row: Row) -> bool:
        return False

    harness = SweeperHarness(observer=Sweeps())
    for number, name in enumerate(in_one_shard(3 * PAGE)):
        await harness.put(name, harness.clock.now() - 3600 + number)

    await harness.a_sweeper(OUTBOX, leave).visit(3)

    assert found == [PAGE, PAGE, PAGE, 0, 0], "the last one is of rows that are due far ahead"


async def test_capacity_limits_the_claims(harness: SweeperHarness):
    await harness.commit_events(*in_one_shard(20))
    await harness.clock.advance(11)
    sweeper = harness.a_sweeper(OUTBOX, harness.claim, lambda: 7 - len(harness.claimed))

    await sweeper.visit(3)

    assert len(harness.claimed) == 7


async def test_nothing_is_queried_without_capacity(harness: SweeperHarness):
    sweeper = harness.a_sweeper(OUTBOX, harness.claim, lambda: 0)

    await sweeper.sweep()

    assert harness.tables.calls["due"] == 0


async def test_low_water_mark_does_not_pass_rows_left_for_lack_of_capacity(harness: SweeperHarness):
    capacity = [5]
    names = in_one_shard(20)
    for name in names:
        await harness.put(name, harness.clock.now() - 10 * TRAILING_SECONDS)
    sweeper = harness.a_sweeper(OUTBOX, harness.claim, lambda: capacity[0] - len(harness.claimed))
    await sweeper.visit(3)

    capacity[0] = 100
    await harness.clock.advance(1)
    await sweeper.visit(3)

    assert set(harness.claimed) == set(names)


async def test_low_water_mark_does_not_pass_a_row_left_on_an_earlier_page(harness: SweeperHarness):
    left, *others = in_one_shard(PAGE + 1)
    for number, name in enumerate((left, *others)):
        await harness.put(name, harness.clock.now() - 10 * TRAILING_SECONDS + number)
    can_claim = {*others}

    async def claim(key: Key, row: Row) -> bool:
        return key.name in can_claim and await harness.claim(key, row)

    sweeper = harness.a_sweeper(OUTBOX, claim)
    await sweeper.visit(3)
    assert sorted(harness.claimed) == sorted(others)

    can_claim.add(left)
    await harness.clock.advance(1)
    await sweeper.visit(3)

    assert harness.claimed[-1] == left


async def test_queries_start_behind_the_low_water_mark(harness: SweeperHarness):
    await harness.sweeper.visit(3)
    first_visit = harness.clock.now()
    await harness.clock.advance(60)
    await harness.sweeper.visit(3)

    assert harness.tables.ranges == [
        (due_bound(3, 0), due_bound(3, first_visit)),
        (due_bound(3, first_visit + MAX_AHEAD_SECONDS), due_bound(3, END_OF_TIME)),
        (due_bound(3, first_visit - TRAILING_SECONDS), due_bound(3, harness.clock.now())),
    ]


async def test_late_row_is_found_behind_the_low_water_mark(harness: SweeperHarness):
    """Written by a process with a slow clock, or by a slow commit."""
    await harness.sweeper.sweep()
    await harness.put("late", harness.clock.now() - TRAILING_SECONDS + 60)
    await harness.clock.advance(1)

    await harness.sweeper.sweep()

    assert harness.claimed == ["late"]


@pytest.mark.parametrize("step", [-3600, 3600])
async def test_step_of_the_wall_clock_hides_no_row(harness: SweeperHarness, step: float):
    await harness.sweeper.sweep()
    harness.clock.step(step)
    await harness.sweeper.sweep()
    harness.clock.step(-step)

    await harness.put("row", harness.clock.now() + 10)
    await harness.clock.advance(11)
    await harness.sweeper.sweep()

    assert harness.claimed == ["row"]


async def test_full_scan_happens_every_ten_minutes(harness: SweeperHarness):
    await harness.sweeper.sweep()
    await harness.put("very late", harness.clock.now() - 10 * TRAILING_SECONDS)
    await harness.clock.advance(FULL_SCAN_INTERVAL_SECONDS - 1)
    await harness.sweeper.sweep()
    assert harness.claimed == []

    await harness.clock.advance(1)
    await harness.sweeper.sweep()

    assert harness.claimed == ["very late"]
    await harness.clock.advance(1)
    harness.tables.ranges.clear()
    await harness.sweeper.sweep()
    assert due_bound(0, 0) not in [start for start, _ in harness.tables.ranges]


async def test_failed_visit_does_not_move_the_low_water_mark(harness: SweeperHarness):
    names = in_one_shard(3)
    await harness.commit_events(*names)
    await harness.clock.advance(11)
    harness.memory.failures.append(Unavailable("gone"))
    with pytest.raises(Unavailable):
        await harness.sweeper.visit(3)

    await harness.clock.advance(TRAILING_SECONDS * 2)
    await harness.sweeper.visit(3)

    assert set(harness.claimed) == set(names)


async def test_sweep_is_retried_after_an_outage(harness: SweeperHarness):
    """Known mistake: exiting the process on an I/O error."""
    await harness.commit_events("row")
    harness.memory.unavailable = True
    async with background(harness.sweeper.run()) as task:
        await harness.clock.advance(120)
        assert not task.done()

        harness.memory.unavailable = False
        await harness.clock.advance(60)

    assert harness.claimed[0] == "row"


async def test_each_pass_visits_every_shard_in_random_order(harness: SweeperHarness):
    other = SweeperHarness(seed=2)
    orders = []
    for each in (harness, other):
        async with background(each.a_sweeper(OUTBOX, each.claim, pass_seconds=10).run()):
            await each.clock.advance(60)
        orders.append([int(start[:2], 16) for start, end in each.tables.ranges if end < start[:3] + "1"])

    for order in orders:
        assert sorted(order[:SHARDS]) == list(range(SHARDS))
        assert sorted(order[SHARDS : 2 * SHARDS]) == list(range(SHARDS))
        assert 4 * SHARDS < len(order) < 8 * SHARDS
    assert orders[0][:SHARDS] != orders[1][:SHARDS]


@pytest.mark.parametrize("answers", [True, False])
async def test_slow_store_is_swept_less_often(harness: SweeperHarness, answers: bool):
    """Sweeping may be part of its load, even if the queries fail."""

    class SlowTables(CountedTables):
        async def due(self, *args):
            await harness.runtime.sleep(0.1)
            rows = await super().due(*args)
            if not answers:
                raise Unavailable("took too long")
            return rows

    slow = SlowTables(harness.memory)
    sweeper = Sweeper(slow, OUTBOX, harness.claim, harness.runtime, pass_seconds=10)

    async with background(sweeper.run()):
        await harness.clock.advance(62)

    assert 18 <= len(slow.ranges) <= 20, "two queries of 0.1 s, then 6 s idle"
