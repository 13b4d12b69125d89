"""The sweeper: finds what is past its `due`, once, whoever else looks for it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from sagakit.due import SHARDS, due_bound, encode_due, shard_of
from sagakit.errors import Contention, Unavailable
from sagakit.outbox import Outbox
from sagakit.sweeper import FULL_SCAN_INTERVAL_SECONDS, PAGE, TRAILING_SECONDS, Sweeper
from sagakit.tables import DUE, Insert, Key, Row
from tests.support.clock import Clock, settled
from tests.support.steps import an_event
from tests.support.tables import CountedTables, MemoryTables

KIND = "Waiting"


class QueriedTables(CountedTables):
    """Remembers the ranges asked for."""

    def __init__(self, tables: MemoryTables) -> None:
        super().__init__(tables)
        self.ranges: list[tuple[str, str]] = []

    async def due(self, kind: str, start: str, end: str, limit: int) -> list[tuple[Key, Row]]:
        self.ranges.append((start, end))
        return await super().due(kind, start, end, limit)


@dataclass
class Bench:
    clock: Clock = field(default_factory=Clock)
    memory: MemoryTables = field(default_factory=MemoryTables)
    claimed: list[str] = field(default_factory=list)
    on_claim: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.runtime = self.clock.runtime()
        self.outbox = Outbox(KIND, self.runtime)
        self.tables = QueriedTables(self.memory)
        self.sweeper = self.a_sweeper()

    def a_sweeper(self, capacity: Callable[[], int] = lambda: PAGE) -> Sweeper:
        return Sweeper(self.tables, KIND, self.claim, self.runtime, capacity=capacity)

    async def claim(self, key: Key, row: Row) -> None:
        self.on_claim()
        try:
            await self.tables.commit([self.outbox.claim(key, row)])
        except Contention:
            return
        self.claimed.append(key.name)

    async def commit(self, *names: str) -> None:
        """Rows that are due ten seconds from now."""
        for name in names:
            await self.memory.commit(self.outbox.inserts([an_event(name)]))

    async def put(self, name: str, due: float) -> None:
        await self.memory.commit([Insert(Key(KIND, name), {"claims": 0, DUE: encode_due(name, due)})])


@pytest.fixture
async def bench() -> Bench:
    return Bench()


def in_one_shard(count: int, shard: int = 3) -> list[str]:
    names, number = [], 0
    while len(names) < count:
        if shard_of(str(number)) == shard:
            names.append(str(number))
        number += 1
    return names


async def test_only_what_is_past_due_is_claimed(bench: Bench):
    await bench.put("past", bench.clock.now() - 0.01)
    await bench.put("long past", bench.clock.now() - 86_400)
    await bench.put("now", bench.clock.now())
    await bench.put("future", bench.clock.now() + 0.01)

    await bench.sweeper.sweep()

    assert sorted(bench.claimed) == ["long past", "past"]


async def test_a_claimed_row_is_left_alone_for_a_pause_that_doubles_up_to_ten_minutes(bench: Bench):
    await bench.commit("row")
    claimed_at = []
    for _ in range(6_000):
        await bench.clock.advance(1)
        await bench.sweeper.visit(shard_of("row"))
        if len(bench.claimed) > len(claimed_at):
            claimed_at.append(bench.clock.now())

    pauses = [b - a for a, b in zip(claimed_at, claimed_at[1:], strict=False)]
    assert pauses[:7] == [31, 61, 121, 241, 481, 601, 601]


async def test_of_several_sweepers_one_claims_a_row_and_the_others_skip_it(bench: Bench):
    await bench.commit(*(str(number) for number in range(50)))
    await bench.clock.advance(11)
    sweepers = [bench.a_sweeper() for _ in range(3)]

    await asyncio.gather(*(sweeper.sweep() for sweeper in sweepers))

    assert sorted(bench.claimed) == sorted(str(number) for number in range(50))


async def test_a_full_page_is_followed_by_the_next(bench: Bench):
    names = in_one_shard(2 * PAGE + 5)
    await bench.commit(*names)
    await bench.clock.advance(11)

    await bench.sweeper.visit(3)

    assert sorted(bench.claimed) == sorted(names)


async def test_no_more_is_claimed_than_there_is_room_for(bench: Bench):
    await bench.commit(*in_one_shard(20))
    await bench.clock.advance(11)
    sweeper = bench.a_sweeper(capacity=lambda: 7 - len(bench.claimed))

    await sweeper.visit(3)

    assert len(bench.claimed) == 7


async def test_where_there_is_no_room_nothing_is_queried(bench: Bench):
    sweeper = bench.a_sweeper(capacity=lambda: 0)

    await sweeper.sweep()

    assert bench.tables.calls["due"] == 0


async def test_what_was_left_for_lack_of_room_is_found_later(bench: Bench):
    """The low-water mark must not pass over it."""
    room = [5]
    names = in_one_shard(20)
    for name in names:
        await bench.put(name, bench.clock.now() - 10 * TRAILING_SECONDS)
    sweeper = bench.a_sweeper(capacity=lambda: room[0] - len(bench.claimed))
    await sweeper.visit(3)

    room[0] = 100
    await bench.clock.advance(1)
    await sweeper.visit(3)

    assert set(bench.claimed) == set(names)


async def test_the_low_water_mark_spares_what_was_looked_at(bench: Bench):
    await bench.sweeper.visit(3)
    first_visit = bench.clock.now()
    await bench.clock.advance(60)
    await bench.sweeper.visit(3)

    assert bench.tables.ranges == [
        (due_bound(3, 0), due_bound(3, first_visit)),
        (due_bound(3, first_visit - TRAILING_SECONDS), due_bound(3, bench.clock.now())),
    ]


async def test_a_row_that_comes_late_is_found_behind_the_mark(bench: Bench):
    """By a process whose clock is behind, or whose commit took long."""
    await bench.sweeper.sweep()
    await bench.put("late", bench.clock.now() - TRAILING_SECONDS + 60)
    await bench.clock.advance(1)

    await bench.sweeper.sweep()

    assert bench.claimed == ["late"]


async def test_every_ten_minutes_everything_is_looked_at(bench: Bench):
    await bench.sweeper.sweep()
    await bench.put("very late", bench.clock.now() - 10 * TRAILING_SECONDS)
    await bench.clock.advance(FULL_SCAN_INTERVAL_SECONDS - 1)
    await bench.sweeper.sweep()
    assert bench.claimed == []

    await bench.clock.advance(1)
    await bench.sweeper.sweep()

    assert bench.claimed == ["very late"]
    await bench.clock.advance(1)
    bench.tables.ranges.clear()
    await bench.sweeper.sweep()
    assert due_bound(0, 0) not in [start for start, _ in bench.tables.ranges]


async def test_a_new_sweeper_looks_at_everything(bench: Bench):
    await bench.put("ancient", 1.0)

    await bench.a_sweeper().sweep()

    assert bench.claimed == ["ancient"]


async def test_a_visit_that_failed_moves_no_mark(bench: Bench):
    names = in_one_shard(3)
    await bench.commit(*names)
    await bench.clock.advance(11)
    bench.memory.failures.append(Unavailable("gone"))
    with pytest.raises(Unavailable):
        await bench.sweeper.visit(3)

    await bench.clock.advance(TRAILING_SECONDS * 2)
    await bench.sweeper.visit(3)

    assert set(bench.claimed) == set(names)


async def test_a_store_that_is_away_puts_the_sweep_off(bench: Bench):
    """The trap: exiting the process on an I/O error."""
    await bench.commit("row")
    bench.memory.away = True
    task = asyncio.create_task(bench.sweeper.run())
    await bench.clock.advance(120)
    assert not task.done()

    bench.memory.away = False
    await bench.clock.advance(60)

    assert bench.claimed[0] == "row"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_running_visits_every_shard_in_each_pass_in_an_order_of_its_own(bench: Bench):
    other = Bench()
    orders = []
    for each, seed in ((bench, 1), (other, 2)):
        sweeper = Sweeper(each.tables, KIND, each.claim, each.clock.runtime(seed), pass_seconds=10)
        task = asyncio.create_task(sweeper.run())
        await each.clock.advance(60)
        orders.append([int(start[:2], 16) for start, _ in each.tables.ranges])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    for order in orders:
        assert sorted(order[:SHARDS]) == list(range(SHARDS))
        assert sorted(order[SHARDS : 2 * SHARDS]) == list(range(SHARDS))
        assert 4 * SHARDS < len(order) < 8 * SHARDS
    assert orders[0][:SHARDS] != orders[1][:SHARDS]
    await settled()


@pytest.mark.parametrize("answers", [True, False])
async def test_a_store_that_takes_long_is_looked_through_more_rarely(bench: Bench, answers: bool):
    """What the store is busy with, in part, may be this; also where it gives up on it in the end."""

    class SlowTables(QueriedTables):
        async def due(self, *args):
            await bench.runtime.sleep(0.1)
            rows = await super().due(*args)
            if not answers:
                raise Unavailable("took too long")
            return rows

    slow = SlowTables(bench.memory)
    sweeper = Sweeper(slow, KIND, bench.claim, bench.runtime, pass_seconds=10)
    sweeping = asyncio.create_task(sweeper.run())

    await bench.clock.advance(62)
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)

    assert 18 <= len(slow.ranges) <= 20, "a visit of 0.1 s, three seconds of rest"
