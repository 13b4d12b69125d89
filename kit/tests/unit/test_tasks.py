"""Background tasks of a service: restarted, given up after too many defects, and drained."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from sagakit.backends import Backend
from sagakit.errors import Contention, Unavailable
from sagakit.events import Event
from sagakit.messaging import Messaging
from sagakit.observer import Observer
from sagakit.runtime import Runtime
from sagakit.service import Kit, Service
from sagakit.settings import ServiceSettings
from sagakit.store import Changes
from sagakit.tables import Key
from sagakit.tasks import MAX_DEFECTS, RESTART_BACKOFF, STABLE_AFTER_SECONDS, Task
from sagakit.testing.clock import Clock
from sagakit.testing.tables import MemoryTables
from tests.support.counter import ENVIRON, entities
from tests.support.manual_bus import ManualBus


class FailureCount(Observer):
    def __init__(self) -> None:
        self.tasks: list[str] = []

    def task_failed(self, name: str) -> None:
        self.tasks.append(name)


@dataclass
class Harness:
    """A service with tasks, on a clock of the test's own."""

    clock: Clock = field(default_factory=Clock)
    observer: FailureCount = field(default_factory=FailureCount)
    bus: ManualBus = field(default_factory=ManualBus)
    tables: MemoryTables = field(default_factory=MemoryTables)
    kit: Kit | None = None

    @property
    def runtime(self) -> Runtime:
        return self.clock.runtime(observer=self.observer)

    @asynccontextmanager
    async def running(self, tasks: Mapping[str, Task]) -> AsyncIterator[asyncio.Task[None]]:
        def build(kit: Kit) -> Service:
            self.kit = kit
            return Service(tasks=tasks)

        settings, backend = ServiceSettings.from_environ(ENVIRON), Backend(self.tables, self.bus)
        self.messaging = Messaging("counter", settings, backend, self.runtime, build)
        task = asyncio.create_task(self.messaging.run())
        await self.clock.advance(0)
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def failing(*errors: BaseException, started: list[str]) -> Task:
    """A task that raises these errors, one at each start, and then waits."""
    left = list(errors)

    async def work() -> None:
        started.append("started")
        if left:
            raise left.pop(0)
        await asyncio.Event().wait()

    return work


@pytest.mark.parametrize("error", [ValueError("a defect"), asyncio.CancelledError()], ids=repr)
async def test_failed_task_is_restarted_and_counted_and_others_continue(error: BaseException):
    """gRPC raises CancelledError to a caller whose channel was closed."""
    harness, started, others = Harness(), [], []
    tasks = {"one": failing(error, started=started), "other": failing(started=others)}
    with capture_logs() as logs:
        async with harness.running(tasks) as service:
            assert (len(started), len(others)) == (1, 1)

            await harness.clock.advance(RESTART_BACKOFF.max_delay(0))

            assert (len(started), len(others)) == (2, 1)
            assert harness.observer.tasks == ["one"]
            assert not service.done()
    [line] = [line for line in logs if line["event"] == "task failed"]
    assert (line["task"], line["failures"], line["log_level"]) == ("one", 1, "error")
    assert line["exc_info"]


async def test_too_many_defects_in_a_row_end_the_process():
    harness, started = Harness(), []
    errors = [ValueError(str(number)) for number in range(MAX_DEFECTS)]
    async with harness.running({"one": failing(*errors, started=started)}) as service:
        for number in range(MAX_DEFECTS - 1):
            assert not service.done()
            await harness.clock.advance(RESTART_BACKOFF.max_delay(number))

        with pytest.raises(ExceptionGroup) as raised:
            await service

    assert raised.value.exceptions == (errors[-1],)
    assert len(started) == MAX_DEFECTS


@pytest.mark.parametrize("error", [Unavailable("no database"), Contention("busy")])
async def test_a_task_whose_backend_fails_is_restarted_for_as_long_as_it_takes(error: Exception):
    harness, started = Harness(), []
    errors = [error] * (3 * MAX_DEFECTS)
    async with harness.running({"one": failing(*errors, started=started)}) as service:
        for _ in range(3 * MAX_DEFECTS):
            await harness.clock.advance(RESTART_BACKOFF.cap_seconds)

        assert (len(started), service.done()) == (3 * MAX_DEFECTS + 1, False)


async def test_a_task_that_ran_for_a_while_has_recovered():
    harness, starts = Harness(), []

    async def work() -> None:
        starts.append("started")
        await harness.runtime.sleep(STABLE_AFTER_SECONDS)
        raise ValueError("a rare defect")

    async with harness.running({"rare": work}) as service:
        for _ in range(3 * MAX_DEFECTS):
            await harness.clock.advance(STABLE_AFTER_SECONDS)
            await harness.clock.advance(RESTART_BACKOFF.max_delay(0))

        assert (len(starts), service.done()) == (3 * MAX_DEFECTS + 1, False)


async def test_task_that_returns_is_done_and_the_service_continues():
    harness, started = Harness(), []

    async def once() -> None:
        started.append("started")

    async with harness.running({"once": once}) as service:
        await harness.clock.advance(10 * RESTART_BACKOFF.cap_seconds)

        assert (started, service.done()) == (["started"], False)


async def test_what_a_task_commits_when_it_is_drained_is_published():
    harness, key = Harness(), Key("Rest", "a")

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            last = Event("last", "thing", b"")
            await harness.kit.store.transact([key], lambda _: Changes(None, {key: {"n": 1}}, [last]))

    async with harness.running({"work": work}):
        harness.messaging.stop()
        draining = asyncio.create_task(harness.messaging.drained())
        await harness.clock.advance(1)
        await asyncio.wait_for(draining, 1)

    assert harness.bus.eventids == ["last"]
    assert await entities(harness.tables, key) == {key: {"n": 1}}


async def test_task_that_takes_too_long_to_end_is_cancelled_again():
    harness, ended = Harness(), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("cancelled again")

    async with harness.running({"work": work}):
        harness.messaging.stop()
        draining = asyncio.create_task(harness.messaging.drained())
        await harness.clock.advance(1)
        assert (ended, draining.done()) == ([], False)

    assert ended == ["cancelled again"]
    await asyncio.wait_for(draining, 1)
