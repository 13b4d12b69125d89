"""Side effects are repeated beside the sweeper: few at a time, and none of them stops another."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import structlog

from sagakit.errors import Unavailable
from sagakit.side_effects import MAX_RUNNING, MAX_SCHEDULED, SideEffects
from sagakit.store import Changes
from sagakit.tables import Entity
from sagakit.testing.clock import settled
from tests.support.eventually import eventually
from tests.support.harness import RemindersHarness, background, remind


class OtherSystem:
    """Is called with the names of entities; `respond` decides when and how it answers."""

    def __init__(self, respond: Callable[[str], Any] = lambda _: None) -> None:
        self.called: list[str] = []
        self.canceled: list[str] = []
        self._respond = respond

    async def call(self, name: str) -> None:
        self.called.append(name)
        answer = self._respond(name)
        try:
            if answer is not None:
                await answer
        except asyncio.CancelledError:
            self.canceled.append(name)
            raise


def hangs(_: str) -> Any:
    return asyncio.Event().wait()


@asynccontextmanager
async def side_effects(system: OtherSystem) -> AsyncIterator[SideEffects]:
    effects = SideEffects(system.call)
    async with background(effects.run()):
        yield effects


async def test_system_that_hangs_is_called_for_a_few_entities_at_a_time_and_for_no_entity_twice():
    system = OtherSystem(hangs)

    async with side_effects(system) as effects:
        for number in [*range(2 * MAX_SCHEDULED), *range(MAX_SCHEDULED)]:
            effects.schedule(f"e{number}")
        await settled()

        assert system.called == [f"e{number}" for number in range(MAX_RUNNING)]
    assert system.canceled == system.called, "a process that stops cancels its calls"


async def test_call_that_another_system_cancelled_is_logged():
    """gRPC raises CancelledError to a caller whose channel was closed."""

    async def closed() -> None:
        raise asyncio.CancelledError

    with structlog.testing.capture_logs() as logs:
        async with side_effects(OtherSystem(lambda _: closed())) as effects:
            effects.schedule("e1")
            await settled()

    assert [(each["event"], each["name"]) for each in logs] == [("side effect failed", "e1")]


async def test_every_scheduled_call_gets_its_turn():
    system = OtherSystem()

    async with side_effects(system) as effects:
        for number in range(MAX_SCHEDULED + 1):
            effects.schedule(f"e{number}")
        await settled()

    assert system.called == [f"e{number}" for number in range(MAX_SCHEDULED)]


async def test_end_of_canceled_calls_is_awaited():
    """They may still use what is closed next."""
    ended: list[str] = []

    async def closes(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            if name == "slow":
                await settled()
            ended.append(name)

    async with side_effects(OtherSystem(closes)) as effects:
        effects.schedule("quick")
        effects.schedule("slow")
        await settled()

    assert ended == ["quick", "slow"]


async def test_nothing_is_scheduled_after_the_end():
    system = OtherSystem()
    async with side_effects(system) as effects:
        pass

    effects.schedule("late")
    await settled()

    assert system.called == []


async def test_failed_calls_are_logged_and_stop_no_other():
    def respond(name: str) -> None:
        if name != "good":
            raise Unavailable("no") if name == "unavailable" else ValueError("a defect")

    system = OtherSystem(respond)

    with structlog.testing.capture_logs() as logs:
        async with side_effects(system) as effects:
            for name in ("unavailable", "defect", "good", "unavailable"):
                effects.schedule(name)
            await settled()
            effects.schedule("unavailable")
            await settled()

    assert system.called == ["unavailable", "defect", "good", "unavailable"]
    assert [(entry["name"], entry["log_level"]) for entry in logs] == [
        ("unavailable", "warning"),
        ("defect", "error"),
        ("unavailable", "warning"),
    ]


async def test_call_that_hangs_ends_after_the_timeout():
    system = OtherSystem(hangs)
    effects = SideEffects(system.call, timeout_seconds=0.01)

    with structlog.testing.capture_logs() as logs:
        async with background(effects.run()):
            effects.schedule("a")
            await eventually(lambda: system.canceled == ["a"], seconds=5)
            await settled()

    assert [(entry["name"], entry["log_level"]) for entry in logs] == [("a", "warning")]


async def test_system_that_hangs_delays_neither_the_sweeper_nor_reminders():
    system = OtherSystem(hangs)
    async with side_effects(system) as effects:

        def remind_or_repeat(name: str, entity: Entity, now: float, eventid: str) -> Changes[str | None]:
            changes = remind(name, entity, now, eventid)
            if not name.startswith("intended"):
                return changes
            return Changes(None, changes.writes, on_commit=partial(effects.schedule, name))

        harness = RemindersHarness(remind=remind_or_repeat)
        intended = [f"intended {number}" for number in range(2 * MAX_SCHEDULED)]
        await harness.waits(*intended, "a", "b")
        await harness.sweep_after(16)

        assert (harness.sent("a", "b"), len(harness.events)) == (2, 2)
        assert harness.sent(*intended) == len(intended), "each is due again later"
        assert len(system.called) == MAX_RUNNING
