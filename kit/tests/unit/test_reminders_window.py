"""Flow control for reminders: a rate, and a window of unanswered ones for each awaited participant."""

from collections import Counter

import pytest
from structlog.testing import capture_logs

from sagakit.reminders import MAX_UNANSWERED
from sagakit.store import Changes
from sagakit.tables import DUE, Delete, Entity, Key, Update
from tests.support.counter import an_event
from tests.support.harness import WAITING, RemindersHarness, remind


@pytest.fixture
async def harness() -> RemindersHarness:
    return RemindersHarness()


async def test_reminders_are_limited_per_second(harness: RemindersHarness):
    """However quickly the replies arrive."""
    names = [str(number) for number in range(400)]
    await harness.waits(*names, seconds=0)
    sent = []

    for seconds in (0.001, 1, 2):
        await harness.sweep_after(seconds)
        sent.append(harness.sent(*names))
        await harness.settle_reminded(names)

    assert sent == [100, 150, 250]


async def test_unanswered_reminders_are_limited(harness: RemindersHarness):
    """More would only add to the receiver's backlog."""
    names = [str(number) for number in range(400)]
    await harness.waits(*names, seconds=0)

    for _ in range(14):
        await harness.sweep_after(1)

    assert len(harness.events) == MAX_UNANSWERED
    assert {harness.sent(name) for name in names} == {1}, "the others wait for their next turn"


async def test_replies_make_room_for_more_reminders(harness: RemindersHarness):
    names = [str(number) for number in range(300)]
    await harness.waits(*names, seconds=0)
    await harness.sweep_after(1)

    await harness.settle_reminded(names)
    await harness.sweep_after(60)

    left = len(names) - MAX_UNANSWERED
    assert len(harness.events) == MAX_UNANSWERED + min(left, MAX_UNANSWERED)


async def test_deleted_entities_make_room_for_more_reminders(harness: RemindersHarness):
    names = [str(number) for number in range(150)]
    await harness.waits(*names, seconds=0)
    await harness.sweep_after(1)
    await harness.memory.commit([Delete(Key(WAITING, name)) for name in names])
    await harness.waits("new", seconds=0)

    await harness.sweep_after(1)

    assert len(harness.events) == MAX_UNANSWERED + 1


async def test_unanswered_reminders_are_repeated_in_turn_and_no_others_sent(harness: RemindersHarness):
    """They may be lost, rather than queued."""
    names = [str(number) for number in range(150)]
    await harness.waits(*names, seconds=0)
    await harness.sweep_after(1)
    await harness.sweep_after(1)
    at_first = len(harness.events)

    await harness.sweep_after(31)
    await harness.sweep_after(2)

    assert {harness.sent(name) for name in names} == {2}
    assert (at_first, len(harness.events)) == (MAX_UNANSWERED, 2 * MAX_UNANSWERED)


async def test_entities_that_are_never_answered_keep_their_places_for_a_few_repetitions(
    harness: RemindersHarness,
):
    """For example their events were lost with a deleted subscription; others await the same participant."""
    names = [str(number) for number in range(150)]
    await harness.waits(*names, seconds=0)

    with capture_logs() as logs:
        for _ in range(30):
            await harness.sweep_after(30)

    reminded = Counter(log["name"] for log in logs if log["event"] == "reminder published")
    assert set(reminded) == set(names)
    assert len(harness.events) <= 8 * MAX_UNANSWERED


async def test_participant_that_does_not_reply_delays_no_reminder_to_another(harness: RemindersHarness):
    """For example delivery is down, and another order's first event was lost on its way to stock."""
    names = [str(number) for number in range(150)]
    await harness.waits(*names, seconds=0, awaits="delivery")
    for _ in range(3):
        await harness.sweep_after(1)
    await harness.waits("lost", seconds=0, awaits="stock")

    await harness.sweep_after(1)

    events = len(harness.events)
    assert (harness.sent("lost"), events) == (1, MAX_UNANSWERED + 1)


async def test_entity_that_awaits_another_by_now_is_not_held_back(harness: RemindersHarness):
    """The window is that of the participant whose reply had arrived when the reminder was due."""
    names = [str(number) for number in range(150)]
    await harness.waits(*names, seconds=0, awaits="stock")
    for _ in range(2):
        await harness.sweep_after(1)
    await harness.waits("moved", seconds=0, awaits="stock")
    await harness.clock.advance(1)
    row, key = harness.row("moved"), Key(WAITING, "moved")
    await harness.memory.commit([Update(key, {**row.entity, "awaits": "delivery"}, row.version)])

    await harness.reminders.claim(key, row)

    assert len(harness.events) == MAX_UNANSWERED + 1


async def test_unanswered_reminders_are_limited_for_each_participant(harness: RemindersHarness):
    for awaited in ("stock", "delivery"):
        names = (f"{awaited}{number}" for number in range(150))
        await harness.waits(*names, seconds=0, awaits=awaited)

    for _ in range(8):
        await harness.sweep_after(1)

    assert len(harness.events) == 2 * MAX_UNANSWERED


async def test_other_events_are_published_although_the_window_is_full(harness: RemindersHarness):
    """For example a cancellation at a deadline: it is no reminder."""

    def close(name: str, entity: Entity, now: float, eventid: str) -> Changes[str | None]:
        if name != "late":
            return remind(name, entity, now, eventid)
        return Changes(None, {Key(WAITING, name): {"reminders": 0}}, [an_event(eventid)])

    harness = RemindersHarness(remind=close)
    await harness.waits(*(str(number) for number in range(150)), seconds=0)
    await harness.sweep_after(1)
    await harness.waits("late", seconds=0)

    await harness.sweep_after(1)

    (closed,) = [each for each in harness.events if "again" not in each["attributes"]]
    assert DUE not in harness.memory.rows[Key(WAITING, "late")].entity
    assert closed["claims"] == 0
