"""Overdue entities are counted by kind, status and age, from what reminders read anyway."""

import pytest

from sagakit.store import Changes
from sagakit.tables import Delete, Key
from sagakit.telemetry.overdue import SLACK_SECONDS
from sagakit.telemetry.recorder import Recorder
from sagakit.testing.clock import START
from tests.support.harness import WAITING, RemindersHarness


class OverdueHarness(RemindersHarness):
    """A process that sends reminders, with what it counts as overdue."""

    def __post_init__(self) -> None:
        self.observer = recorder = Recorder(now=self.clock.now, monotonic=self.clock.monotonic)
        self.overdue = recorder.overdue
        self.overdue.waiting_since[WAITING] = lambda entity: entity["opened"]
        super().__post_init__()

    async def opened(self, name: str, status: str = "pre-approved", opened: float = START) -> None:
        await self.waits(name, seconds=opened + 15 - self.clock.now(), status=status, opened=opened)

    async def counts_after(self, seconds: float) -> dict[tuple[str, str], float]:
        await self.sweep_after(seconds)
        return self.counts()

    def counts(self) -> dict[tuple[str, str], float]:
        found = self.overdue.counts()
        assert all(labels["kind"] == WAITING for _, labels in found)
        return {(labels["status"], labels["age"]): count for count, labels in found}

    @property
    def oldest(self) -> dict[str, float]:
        return {labels["status"]: age for age, labels in self.overdue.oldest_ages()}


@pytest.fixture
async def harness() -> OverdueHarness:
    return OverdueHarness()


async def test_entity_is_not_counted_before_it_is_overdue(harness: OverdueHarness):
    await harness.opened("a")

    assert await harness.counts_after(14) == {}


async def test_waiting_entities_are_counted_by_status_and_age(harness: OverdueHarness):
    await harness.opened("a")
    await harness.opened("b")
    await harness.opened("old", "approved", opened=START - 1000)

    first = await harness.counts_after(20)
    later = await harness.counts_after(100)

    assert first == {("pre-approved", "under 1m"): 2, ("approved", "5m to 30m"): 1}
    assert later == {("pre-approved", "1m to 5m"): 2, ("approved", "5m to 30m"): 1}
    assert harness.oldest == {"pre-approved": 120, "approved": 1120}


async def test_entity_written_by_this_process_is_no_longer_counted(harness: OverdueHarness):
    await harness.opened("a")
    await harness.counts_after(20)
    key = Key(WAITING, "a")

    await harness.store.transact([key], lambda _: Changes(None, {key: {"status": "approved"}}))

    assert harness.counts() == {}


@pytest.mark.parametrize("deleted", [False, True], ids=["settled", "deleted"])
async def test_entity_that_a_claim_finds_without_need_of_a_reminder_is_no_longer_counted(
    harness: OverdueHarness, deleted: bool
):
    await harness.opened("a")
    await harness.counts_after(20)
    row, key = harness.row("a"), Key(WAITING, "a")
    await (harness.memory.commit([Delete(key)]) if deleted else harness.settle("a"))

    await harness.reminders.claim(key, row)

    assert harness.counts() == {}


async def test_entity_settled_elsewhere_is_counted_until_it_would_be_due_again(harness: OverdueHarness):
    await harness.opened("a")
    await harness.counts_after(20)
    del harness.memory.rows[Key(WAITING, "a")]

    before = await harness.counts_after(30 + SLACK_SECONDS - 1)
    afterwards = await harness.counts_after(2)

    assert sum(before.values()) == 1
    assert afterwards == {}


async def test_entries_do_not_expire_while_reminders_pause(harness: OverdueHarness):
    await harness.opened("a")
    await harness.counts_after(20)
    harness.is_saturated = True

    paused = await harness.counts_after(1000)
    harness.is_saturated = False
    resumed = await harness.counts_after(1)

    assert paused == {("pre-approved", "5m to 30m"): 1}
    assert resumed == paused


async def test_counting_needs_no_call_of_the_store(harness: OverdueHarness):
    await harness.opened("a")
    await harness.counts_after(20)
    asked = dict(harness.tables.calls)

    assert harness.counts()
    assert harness.oldest

    assert dict(harness.tables.calls) == asked
