"""A row that cannot be processed stops no other: it is logged, counted, left, and tried again later."""

import itertools
from bisect import bisect_left
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from sagakit.due import MAX_AHEAD_SECONDS, encode_due, shard_of
from sagakit.errors import Poison
from sagakit.observer import NO_KIND, Observer
from sagakit.reminders import due_property
from sagakit.sweeper import (
    EXPIRY_INTERVAL_SECONDS,
    FULL_SCAN_INTERVAL_SECONDS,
    MAX_FAILED_ROWS,
    PAGE,
    TRAILING_SECONDS,
    Expiry,
)
from sagakit.tables import DUE, Delete, Entity, Insert, Key, Mutation, Row, Update
from sagakit.testing.clock import Clock
from sagakit.testing.tables import MemoryTables
from tests.support.counter import OUTBOX, an_event
from tests.support.harness import WAITING, Harness, RemindersHarness, background

SHARD = 3


class FailedRows(Observer):
    def __init__(self) -> None:
        self.kinds: list[str] = []

    def row_failed(self, kind: str) -> None:
        self.kinds.append(kind)


@pytest.fixture
async def harness() -> RemindersHarness:
    return RemindersHarness(observer=FailedRows())


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as entries:
        yield entries


def in_shard(prefix: str, count: int) -> list[str]:
    names = (f"{prefix}{number}" for number in itertools.count())
    return list(itertools.islice((name for name in names if shard_of(name) == SHARD), count))


async def put(harness: Harness, kind: str, name: str, entity: Entity, seconds: float = 0) -> None:
    due = {DUE: encode_due(name, harness.clock.now() + seconds)}
    await harness.memory.commit([Insert(Key(kind, name), {**entity, **due})])


def failures(harness: Harness) -> list[str]:
    assert isinstance(harness.observer, FailedRows)
    return harness.observer.kinds


async def test_reminders_of_other_entities_are_sent_although_one_row_is_odd(harness: RemindersHarness, logs):
    odd, *good = in_shard("e", 4)
    await put(harness, WAITING, odd, {"nothing": "of what is expected"})
    await harness.waits(*good, seconds=1)

    await harness.sweep_after(2)

    assert harness.sent(*good) == 3
    assert failures(harness) == [WAITING]
    (entry,) = [each for each in logs if each["log_level"] == "error"]
    assert (entry["event"], entry["kind"], entry["name"]) == ("row failed", WAITING, odd)
    assert entry["exc_info"]


async def test_pages_of_odd_rows_do_not_hide_the_rows_behind_them(harness: RemindersHarness):
    odd = in_shard("odd", 3 * PAGE)
    for name in odd:
        await put(harness, WAITING, name, {})
    (good,) = in_shard("good", 1)
    await harness.waits(good, seconds=1)

    await harness.sweep_after(2)

    assert harness.sent(good) == 1
    assert len(failures(harness)) == len(odd)


async def test_odd_rows_use_up_no_capacity(harness: RemindersHarness):
    """While the broker is unavailable, the relay takes over one row at a time."""
    for name in in_shard("odd", 30):
        await put(harness, OUTBOX, name, {"claims": 0, "body": b"no more"})
    (good,) = in_shard("good", 1)
    await put(harness, OUTBOX, good, harness.outbox.inserts([an_event(good)])[0].entity, seconds=1)
    taken: list[str] = []

    async def take_over(key: Key, row: Row) -> bool:
        done = await harness.relay.take_over(key, row)
        taken.append(key.name)
        return done

    sweeper = harness.a_sweeper(OUTBOX, take_over, lambda: 1 - len(taken))
    await harness.clock.advance(2)
    await sweeper.visit(SHARD)

    assert taken == [good]


async def test_odd_row_costs_little_more_than_being_found(harness: RemindersHarness):
    """It is claimed at growing intervals, and the low-water mark moves past it."""
    (odd,) = in_shard("odd", 1)
    await put(harness, WAITING, odd, {})
    await harness.clock.advance(1)
    found = []

    for _ in range(6 * 60):
        await harness.clock.advance(10)
        before = harness.tables.found
        await harness.sweeper.visit(SHARD)
        found.append(harness.tables.found - before)

    assert 5 <= len(failures(harness)) <= 9, "after 1, 2, 4, 8 minutes and then every 10, in an hour"
    assert sum(found[: int(TRAILING_SECONDS / 10)]) == TRAILING_SECONDS / 10
    assert sum(found[int(TRAILING_SECONDS / 10) + 1 :]) <= 3600 / FULL_SCAN_INTERVAL_SECONDS
    assert harness.tables.calls["lookup"] == 0


async def test_repaired_row_is_claimed_at_once(harness: RemindersHarness):
    (odd,) = in_shard("odd", 1)
    await put(harness, WAITING, odd, {})
    await harness.sweep_after(1)
    row = harness.row(odd)
    await harness.memory.commit([Update(Key(WAITING, odd), {**row.entity, "reminders": 0}, row.version)])

    await harness.sweep_after(1)

    assert harness.sent(odd) == 1


async def test_capacity_is_kept_after_a_row_was_repaired(harness: RemindersHarness):
    odd, one, two = in_shard("e", 3)
    broken, claimed, capacity = {odd}, list[str](), 0

    async def claim(key: Key, row: Row) -> bool:
        if key.name in broken:
            raise ValueError("a defect")
        await harness.memory.commit([Delete(key)])
        claimed.append(key.name)
        return True

    sweeper = harness.a_sweeper(WAITING, claim, lambda: capacity - len(claimed))
    await harness.waits(odd, seconds=0)
    await harness.clock.advance(1)
    capacity = 1
    await sweeper.visit(SHARD)
    broken.clear()
    await harness.memory.commit(
        [Update(Key(WAITING, odd), harness.row(odd).entity, harness.row(odd).version)]
    )
    await sweeper.visit(SHARD)
    await harness.waits(one, two, seconds=0)
    await harness.clock.advance(1)

    capacity = 2
    await sweeper.visit(SHARD)

    assert claimed == [odd, one]


async def test_sweeper_remembers_a_limited_number_of_failed_rows():
    """It claims the others again at once."""
    names = in_shard("odd", MAX_FAILED_ROWS + 1)
    began = Clock().now() - 60
    dues = [encode_due(name, began + number / 1000) for number, name in enumerate(names)]
    claimed: list[str] = []

    class ManyRows(MemoryTables):
        async def due(self, kind: str, start: str, end: str, limit: int) -> list[tuple[Key, Row]]:
            first = bisect_left(dues, start)
            found = zip(names[first:], dues[first : first + limit], strict=False)
            return [(Key(kind, name), Row({DUE: due}, 1)) for name, due in found]

    async def fail(key: Key, row: Row) -> bool:
        claimed.append(key.name)
        raise ValueError("a defect")

    sweeper = RemindersHarness(memory=ManyRows()).a_sweeper(WAITING, fail)
    while len(claimed) <= len(names):
        await sweeper.visit(SHARD)

    assert claimed[: len(names)] == names
    assert claimed[len(names)] == names[0]


async def test_row_that_cannot_be_stored_any_more_stops_no_other(harness: RemindersHarness):
    """For example one that has grown too large."""

    class FullRow(MemoryTables):
        async def commit(self, mutations: list[Mutation]) -> None:
            if any(mutation.key.name == "e-full" for mutation in mutations):
                raise Poison("unstorable: too large")
            await super().commit(mutations)

    harness = RemindersHarness(observer=FailedRows(), memory=FullRow())
    names = ["e-full", *in_shard("e", 2)]
    for name in names:
        harness.memory.rows[Key(WAITING, name)] = Row(
            {"reminders": 0, **due_property(name, harness.clock.now())}, 1
        )

    await harness.sweep_after(1)

    assert harness.sent(*names) == 2
    assert failures(harness) == [WAITING]


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"claims": "x", "type": "thing", "body": b"", "attributes": {}},
        {"claims": 0, "type": 1, "body": b"", "attributes": {}},
        {"claims": 0, "type": "thing", "body": "text", "attributes": {}},
        {"claims": 0, "type": "thing", "body": b"", "attributes": "text"},
        {"claims": 0, "type": "thing", "body": b"", "attributes": {"time": 1.5}},
    ],
)
async def test_odd_outbox_row_stops_no_other_event(harness: RemindersHarness, odd: Entity):
    await put(harness, OUTBOX, "odd", odd, seconds=-1)
    await harness.commit(an_event("good"))

    async with background(harness.relay.run()) as relay, background(harness.outbox_sweeper().run()):
        await harness.clock.advance(60)
        assert not relay.done()

    assert harness.bus.eventids == ["good"]
    assert failures(harness)[0] == OUTBOX
    assert list(harness.in_outbox) == ["odd"]


async def test_event_that_cannot_be_encoded_is_left_and_the_rest_of_its_batch_published(
    harness: RemindersHarness,
):
    """The broker's client may raise any exception for it."""

    def reject(message) -> bool:
        if message.attributes["eventid"] == "odd":
            raise TypeError("not a message")
        return False

    harness.bus.unpublishable = reject
    async with background(harness.relay.run()) as relay:
        await harness.commit_and_enqueue(an_event("one"), an_event("odd"), an_event("two"))
        await harness.clock.advance(1)
        assert not relay.done()

    assert sorted(harness.bus.eventids) == ["one", "two"]
    assert failures(harness) == [OUTBOX]
    assert list(harness.in_outbox) == ["odd"]


async def test_sweeper_and_expiry_survive_whatever_the_tables_raise(harness: RemindersHarness):
    class Broken(MemoryTables):
        broken = True
        expired = 0

        async def due(self, *args):
            if self.broken:
                raise ValueError("a defect")
            return await super().due(*args)

        async def expire(self, now: float, limit: int) -> int:
            if self.broken:
                raise ValueError("a defect")
            self.expired += 1
            return 0

    harness = RemindersHarness(observer=FailedRows(), memory=Broken())
    await harness.waits("a")
    expiry = Expiry(harness.memory, harness.runtime)
    sweeper = harness.a_sweeper(WAITING, harness.reminders.claim, pass_seconds=600)
    async with background(sweeper.run()), background(expiry.run()):
        await harness.clock.advance(4 * EXPIRY_INTERVAL_SECONDS)
        assert {WAITING, NO_KIND} <= set(failures(harness))

        harness.memory.broken = False
        await harness.clock.advance(4 * EXPIRY_INTERVAL_SECONDS)

    assert harness.sent("a") >= 1
    assert harness.memory.expired


@pytest.mark.parametrize("ahead", [MAX_AHEAD_SECONDS + 1, 3600, 10 * 365 * 86_400])
async def test_due_too_far_ahead_is_found(harness: RemindersHarness, ahead: float):
    """It was written by a process whose clock was fast."""
    await harness.waits("a", seconds=ahead)
    await put(harness, OUTBOX, "e", harness.outbox.inserts([an_event("e")])[0].entity, seconds=ahead)
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
        await put(harness, OUTBOX, name, harness.outbox.inserts([an_event(name)])[0].entity, seconds=3600)
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
