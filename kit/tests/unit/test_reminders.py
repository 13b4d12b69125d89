"""Reminders: an entity that waits republishes its last event, not too often, and not into a backlog."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

import pytest

from sagakit.due import shard_of
from sagakit.reminders import (
    REMINDER_BURST,
    Reminders,
    ReminderSchedule,
    RemindFn,
    due_property,
)
from sagakit.store import Changes
from sagakit.sweeper import PAGE
from sagakit.tables import DUE, Delete, Entity, Key, Mutation, Update
from sagakit.testing.clock import START
from sagakit.testing.tables import ConflictingTables
from tests.support.counter import a_store, an_event
from tests.support.harness import WAITING, RemindersHarness, background, remind


@pytest.fixture
async def harness() -> RemindersHarness:
    return RemindersHarness()


async def test_waiting_entity_republishes_its_last_event_after_the_interval(harness: RemindersHarness):
    await harness.waits("a")

    await harness.sweep_after(14.9)
    too_early = harness.sent("a")
    await harness.sweep_after(0.2)

    assert (too_early, harness.sent("a")) == (0, 1)
    (event,) = harness.events
    assert event["attributes"] == {"again": "true"}


async def test_intervals_double_up_to_ten_minutes(harness: RemindersHarness):
    await harness.waits("a")
    moments, before = [], 0

    for second in range(3_000):
        await harness.sweep_after(1)
        if harness.sent("a") > before:
            moments.append(second + 1)
            before = harness.sent("a")

    pauses = [after - before for before, after in zip(moments, moments[1:], strict=False)]
    assert moments[0] in (15, 16)
    wanted = [30, 60, 120, 240, 480, 600]
    assert all(abs(pause - each) <= 2 for pause, each in zip(pauses, wanted, strict=False)), pauses
    assert len(pauses) >= len(wanted)


async def test_settled_entity_gets_no_reminder(harness: RemindersHarness):
    await harness.waits("a")
    await harness.settle("a")

    await harness.sweep_after(10_000)

    assert harness.sent("a") == 0
    assert await harness.memory.due(WAITING, "", "zz", 10) == []


async def test_two_processes_publish_one_reminder(harness: RemindersHarness):
    await harness.waits("a")
    other = RemindersHarness(harness.clock, harness.bus, harness.memory, seed=2)
    await harness.clock.advance(20)
    key = Key(WAITING, "a")
    row = harness.row("a")

    claims = asyncio.gather(harness.reminders.claim(key, row), other.reminders.claim(key, row))
    await harness.clock.advance(1)

    assert await claims == [True, True], "it is left to no later sweep"
    assert harness.sent("a") == 1
    assert len(harness.events) == 1


@pytest.mark.parametrize("deleted", [False, True], ids=["settled", "deleted"])
async def test_reply_that_has_just_arrived_prevents_the_reminder(harness: RemindersHarness, deleted: bool):
    await harness.waits("a")
    await harness.clock.advance(20)
    row, key = harness.row("a"), Key(WAITING, "a")
    await (harness.memory.commit([Delete(key)]) if deleted else harness.settle("a"))

    await harness.reminders.claim(key, row)

    assert deleted or harness.sent("a") == 0
    assert (harness.events, key in harness.memory.rows) == ([], not deleted)
    assert harness.reminders.capacity() == REMINDER_BURST


async def test_too_many_conflicts_leave_the_reminder_to_the_next_sweep(harness: RemindersHarness):
    await harness.waits("a")
    key = Key(WAITING, "a")

    def rival() -> Iterable[Mutation]:
        row = harness.row("a")
        return [Update(key, dict(row.entity), row.version)]

    runtime = replace(harness.runtime, sleep=lambda _: asyncio.sleep(0))
    store = a_store(ConflictingTables(harness.memory, *[rival] * 100), runtime)
    reminders = Reminders(store, remind, runtime, lambda: False)
    await harness.clock.advance(20)

    assert not await reminders.claim(key, harness.row("a")), "the row must be found again"
    assert harness.events == []
    await harness.sweeper.sweep()
    assert harness.sent("a") == 1


async def test_no_reminders_while_the_service_is_saturated(harness: RemindersHarness):
    await harness.waits("a")
    harness.is_saturated = True
    await harness.sweep_after(1_000)
    while_saturated = harness.sent("a")

    harness.is_saturated = False
    await harness.sweep_after(1)

    assert (while_saturated, harness.sent("a")) == (0, 1)


async def test_reminders_that_pause_cost_neither_lookups_nor_commits(harness: RemindersHarness):
    await harness.waits(*(str(number) for number in range(50)))
    harness.is_saturated = True
    calls = harness.tables.calls

    for _ in range(10):
        await harness.sweep_after(10)

    assert (calls["lookup"], calls["commit"]) == (0, 0)


@pytest.mark.parametrize("minutes", [1, 40])
async def test_paused_reminders_are_sent_as_soon_as_the_service_has_capacity(
    harness: RemindersHarness, minutes: int
):
    """However long the pause was: the low-water mark does not move past them."""
    await harness.waits("a")
    harness.is_saturated = True
    for _ in range(6 * minutes):
        await harness.sweep_after(10)

    harness.is_saturated = False
    await harness.sweep_after(10)

    assert harness.sent("a") == 1


def with_deadline(at: float) -> RemindFn:
    """Remind as `remind` does, but cancel entities whose deadline is over."""

    def close(name: str, entity: Entity, now: float, eventid: str) -> Changes[str | None]:
        if now < at or name != "late":
            return remind(name, entity, now, eventid)
        return Changes(None, {Key(WAITING, name): {"reminders": 0}}, [an_event(eventid)])

    return close


async def test_deadline_is_kept_while_the_service_is_saturated():
    """Even if the reminders of other entities fill many pages."""
    harness = RemindersHarness(remind=with_deadline(START + 60))
    shard = shard_of("late")
    others = [name for name in map(str, range(60_000)) if shard_of(name) == shard][: 15 * PAGE]
    await harness.waits(*others, seconds=1)
    await harness.waits("late", seconds=15)
    harness.is_saturated = True

    for _ in range(8):
        await harness.clock.advance(10)
        await harness.sweeper.visit(shard)

    (closed,) = harness.events
    assert "again" not in closed["attributes"]
    assert DUE not in harness.row("late").entity
    assert harness.sent(*others) == 0


async def test_allowance_does_not_grow_beyond_the_burst(harness: RemindersHarness):
    await harness.sweep_after(1_000)
    names = [str(number) for number in range(300)]
    await harness.waits(*names, seconds=0)

    await harness.sweep_after(0.001)

    assert harness.sent(*names) == REMINDER_BURST


async def test_saturation_uses_up_no_allowance(harness: RemindersHarness):
    names = [str(number) for number in range(300)]
    await harness.waits(*names, seconds=0)
    harness.is_saturated = True
    for _ in range(10):
        await harness.sweep_after(0.001)

    harness.is_saturated = False
    await harness.sweep_after(0.001)

    assert harness.sent(*names) == REMINDER_BURST


async def test_postponed_entity_uses_up_no_allowance(harness: RemindersHarness):
    """For example an entity that only waits for a deadline."""

    def postpone(name: str, entity: Entity, now: float, eventid: str) -> Changes[str | None]:
        return Changes(None, {Key(WAITING, name): {"reminders": 0, **due_property(name, now + 60)}})

    harness = RemindersHarness(remind=postpone)
    await harness.waits(*(str(number) for number in range(50)), seconds=0)
    times = []
    for seconds in (1, 1, 60):
        await harness.sweep_after(seconds)
        times.append(harness.tables.calls["commit"])

    assert times == [50, 50, 100]
    assert harness.reminders.capacity() == REMINDER_BURST
    assert harness.events == []


async def test_reminder_is_published_by_the_relay_at_once(harness: RemindersHarness):
    await harness.waits("a")

    async with background(harness.relay.run()):
        await harness.sweep_after(16)
        await harness.clock.advance(1)

    assert [message.attributes["again"] for message in harness.bus.messages] == ["true"]
    assert harness.events == []


def test_only_waiting_entities_have_a_due_property():
    assert due_property("a", None) == {}
    assert set(due_property("a", START)) == {DUE}
    assert ReminderSchedule(1000).next_at(0, 0) == 600, "at most ten minutes"
