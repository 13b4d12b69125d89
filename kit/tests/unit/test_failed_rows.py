"""A row that cannot be processed stops no other: it is logged, counted, left, and tried again later."""

from bisect import bisect_left
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from sagakit.due import encode_due
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
from sagakit.tables import DUE, Delete, Entity, Key, Mutation, Row, Update
from sagakit.testing.clock import Clock
from sagakit.testing.tables import MemoryTables
from tests.support.counter import OUTBOX, an_event
from tests.support.harness import SHARD, WAITING, Harness, RemindersHarness, background, in_shard


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


def failures(harness: Harness) -> list[str]:
    assert isinstance(harness.observer, FailedRows)
    return harness.observer.kinds


async def test_reminders_of_other_entities_are_sent_although_one_row_is_odd(harness: RemindersHarness, logs):
    odd, *good = in_shard("e", 4)
    await harness.put(WAITING, odd, {"nothing": "of what is expected"})
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
        await harness.put(WAITING, name, {})
    (good,) = in_shard("good", 1)
    await harness.waits(good, seconds=1)

    await harness.sweep_after(2)

    assert harness.sent(good) == 1
    assert len(failures(harness)) == len(odd)


async def test_odd_rows_use_up_no_capacity(harness: RemindersHarness):
    """While the broker is unavailable, the relay takes over one row at a time."""
    for name in in_shard("odd", 30):
        await harness.put(OUTBOX, name, {"claims": 0, "body": b"no more"})
    (good,) = in_shard("good", 1)
    await harness.put(OUTBOX, good, harness.outbox.inserts([an_event(good)])[0].entity, seconds=1)
    taken: list[str] = []

    async def take_over(key: Key, row: Row) -> bool:
        done = await harness.relay.take_over(key, row)
        taken.append(key.name)
        return done

    sweeper = harness.a_sweeper(OUTBOX, take_over, lambda: 1 - len(taken))
    await harness.clock.advance(2)
    await sweeper.visit(SHARD)

    assert taken == [good]


async def test_odd_row_costs_little_more_than_being_found(harness: RemindersHarness, logs):
    """It is claimed at growing intervals, and the low-water mark moves past it."""
    (odd,) = in_shard("odd", 1)
    await harness.put(WAITING, odd, {})
    await harness.clock.advance(1)
    found = []

    for _ in range(6 * 60):
        await harness.clock.advance(10)
        before = harness.tables.found
        await harness.sweeper.visit(SHARD)
        found.append(harness.tables.found - before)

    assert 5 <= len(failures(harness)) <= 9, "after 1, 2, 4, 8 minutes and then every 10, in an hour"
    counted = [entry["failures"] for entry in logs if entry["event"] == "row failed"]
    assert counted == [number + 1 for number in range(len(failures(harness)))]
    assert sum(found[: int(TRAILING_SECONDS / 10)]) == TRAILING_SECONDS / 10
    assert sum(found[int(TRAILING_SECONDS / 10) + 1 :]) <= 3600 / FULL_SCAN_INTERVAL_SECONDS
    assert harness.tables.calls["lookup"] == 0


async def test_repaired_row_is_claimed_at_once(harness: RemindersHarness):
    (odd,) = in_shard("odd", 1)
    await harness.put(WAITING, odd, {})
    await harness.sweep_after(1)
    row = harness.row(odd)
    await harness.memory.commit([Update(Key(WAITING, odd), {**row.entity, "reminders": 0}, row.version)])

    await harness.sweep_after(1)

    assert harness.sent(odd) == 1


async def test_failures_of_a_row_are_counted_anew_once_it_has_changed(harness: RemindersHarness, logs):
    (odd,) = in_shard("odd", 1)
    await harness.put(WAITING, odd, {})
    for changed in (False, False, True):
        row = harness.row(odd)
        await harness.memory.commit([Update(Key(WAITING, odd), row.entity, row.version)] * changed)
        await harness.sweep_after(61)

    assert [entry["failures"] for entry in logs if entry["event"] == "row failed"] == [1, 2, 1]


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
    await harness.put(OUTBOX, "odd", odd, seconds=-1)
    await harness.commit(an_event("good"))

    async with background(harness.relay.run()) as relay, background(harness.outbox_sweeper().run()):
        await harness.clock.advance(60)
        assert not relay.done()

    assert harness.bus.eventids == ["good"]
    assert failures(harness)[0] == OUTBOX
    assert list(harness.in_outbox) == ["odd"]


@pytest.mark.parametrize(
    ("error", "is_defect"), [(TypeError("not a message"), True), (Poison("too large"), False)]
)
async def test_event_that_cannot_be_published_is_left_and_the_rest_of_its_batch_published(
    harness: RemindersHarness, logs, error: Exception, is_defect: bool
):
    """The broker's client may raise any exception for it."""

    def reject(message) -> bool:
        if message.attributes["eventid"] == "odd":
            raise error
        return False

    harness.bus.unpublishable = reject
    async with background(harness.relay.run()) as relay:
        await harness.commit_and_enqueue(an_event("one"), an_event("odd"), an_event("two"))
        await harness.clock.advance(1)
        assert not relay.done()

    assert sorted(harness.bus.eventids) == ["one", "two"]
    assert failures(harness) == [OUTBOX]
    assert list(harness.in_outbox) == ["odd"]
    (entry,) = [each for each in logs if each["log_level"] == "error"]
    assert bool(entry["exc_info"]) == is_defect


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
