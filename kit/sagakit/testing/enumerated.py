"""Every single failure of a handler or RPC, one after another: at each await, and of each delivery."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeVar

from sagakit.backends import Backend
from sagakit.consumer import Outcome
from sagakit.errors import Contention, OutcomeUnknown, SagaError, Unavailable
from sagakit.event_types import by_name
from sagakit.events import Event
from sagakit.messaging import Messaging
from sagakit.outbox import Outbox, outbox_kind
from sagakit.service import ServiceFactory
from sagakit.settings import ServiceSettings
from sagakit.tables import Entity, Key, Mutation, Row, Tables
from sagakit.testing.broker import MemoryBroker
from sagakit.testing.bus import MemoryBus
from sagakit.testing.clock import Clock
from sagakit.testing.direct import DirectCalls
from sagakit.testing.simulation import UNUSED
from sagakit.testing.tables import MemoryTables
from sagakit.topology import Topology

T = TypeVar("T")

MAX_REPETITIONS = 5
"""How often a failed attempt is repeated, as the broker or a client does, until it must succeed."""


class Fault(StrEnum):
    """A failure of one call to the database."""

    DIES_BEFORE = "the process dies before the call takes effect"
    DIES_AFTER = "the process dies after the call took effect"
    UNAVAILABLE = "the database is unavailable"
    LOST = "the commit is lost, and its outcome unknown"
    APPLIED = "the commit is applied, and its outcome unknown"
    CONFLICT = "the commit conflicts"
    DUPLICATE = "a duplicate is processed meanwhile"

    @property
    def only_commits(self) -> bool:
        """Whether only commits can fail so."""
        return self in {Fault.LOST, Fault.APPLIED, Fault.CONFLICT}


class Died(asyncio.CancelledError):
    """The process was killed at an await."""


class FailingTables:
    """Tables of which one call fails, the one with number `at` (from 1)."""

    def __init__(
        self, tables: Tables, fault: Fault, at: int, duplicate: Callable[[], Awaitable[Any]]
    ) -> None:
        self.calls = 0
        """Calls so far that could have failed."""
        self._tables = tables
        self._fault = fault
        self._at = at
        self._duplicate = duplicate

    async def lookup(self, keys: Sequence[Key]) -> dict[Key, Row]:
        return await self._reach(lambda: self._tables.lookup(keys))

    async def commit(self, mutations: Sequence[Mutation]) -> None:
        await self._reach(lambda: self._tables.commit(mutations), commits=True)

    async def due(self, kind: str, start: str, end: str, limit: int) -> list[tuple[Key, Row]]:
        return await self._reach(lambda: self._tables.due(kind, start, end, limit))

    async def page(self, kind: str, after: str, limit: int) -> list[tuple[Key, Row]]:
        return await self._reach(lambda: self._tables.page(kind, after, limit))

    async def expire(self, now: float, limit: int) -> int:
        return await self._tables.expire(now, limit)

    async def _reach(self, call: Callable[[], Awaitable[T]], *, commits: bool = False) -> T:
        if self._fault.only_commits and not commits:
            return await call()
        self.calls += 1
        if self.calls != self._at:
            return await call()
        match self._fault:
            case Fault.DIES_BEFORE:
                raise Died
            case Fault.UNAVAILABLE:
                raise Unavailable("the tables are unavailable")
            case Fault.CONFLICT:
                raise Contention("injected conflict")
            case Fault.LOST:
                raise OutcomeUnknown("the request was lost")
            case Fault.DUPLICATE:
                await self._duplicate()
        result = await call()
        if self._fault is Fault.DIES_AFTER:
            raise Died
        if self._fault is Fault.APPLIED:
            raise OutcomeUnknown("the response was lost")
        return result


class ServiceProcess(DirectCalls):
    """One process of a service without a broker: what it publishes stays in the outbox."""

    def __init__(self, messaging: Messaging) -> None:
        super().__init__()
        self._handlers = by_name(messaging.service.handlers)
        for register in messaging.service.servicers:
            register(self)

    async def handle(self, event: Event) -> Outcome:
        """Have an event handled, as the consumer does. Its `topic` names the publisher."""
        return await self._handlers[event.type](event)


@dataclass(frozen=True, slots=True)
class Left:
    """The state after everything has succeeded."""

    service: str
    tables: MemoryTables

    def entities(self, kind: str) -> Mapping[str, Entity]:
        """Return the entities of a kind, by their names."""
        return {key.name: row.entity for key, row in self.tables.rows.items() if key.kind == kind}

    @property
    def published(self) -> Sequence[Event]:
        """The events in the service's outbox, oldest first."""
        outbox = Outbox(outbox_kind(self.service), Clock().runtime())
        rows = [(row.version, key, row) for key, row in self.tables.rows.items() if key.kind == outbox.kind]
        return [outbox.event(key, row) for _, key, row in sorted(rows, key=lambda each: each[0])]


Act = Callable[[ServiceProcess], Awaitable[Any]]
"""Has an event handled, or calls an RPC; repeated after a failure, with the same eventid or command id."""
Check = Callable[[Left], Any]
"""Asserts what must hold in the end, however often something was repeated; may be a coroutine function."""


@dataclass(frozen=True, slots=True)
class ServiceUnderTest:
    """A service of a topology, to be wired over tables in memory."""

    topology: Topology
    name: str
    build: ServiceFactory
    environ: Mapping[str, str] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)

    def process(self, tables: Tables) -> ServiceProcess:
        """Return a process of the service over the tables; sleeping takes it no time."""
        environ = {**self.topology.environ(self.name), **self.environ, **UNUSED}
        settings = ServiceSettings.from_environ(environ)
        backend = Backend(tables, MemoryBus(MemoryBroker()))
        runtime = replace(self.clock.runtime(), sleep=lambda _: asyncio.sleep(0))
        return ServiceProcess(Messaging(self.name, settings, backend, runtime, self.build))


async def each_await_fails(
    service: ServiceUnderTest, act: Act, check: Check, *, prepare: Act | None = None
) -> dict[Fault, int]:
    """Let each call to the database that `act` awaits fail in every way, each in a run of its own.

    A run has empty tables, on which `prepare` comes first. After a failure `act` is repeated by another
    process, as the broker redelivers and clients retry, until it succeeds. Then `check` must hold. Returns
    how many runs each fault had. Raises what `check` raises, and the last failure of an `act` that keeps
    failing, with a note which fault it was.
    """
    runs = dict.fromkeys(Fault, 0)
    for fault in Fault:
        while await _run(service, act, check, prepare, fault, runs[fault] + 1):
            runs[fault] += 1
    return runs


async def _run(
    service: ServiceUnderTest, act: Act, check: Check, prepare: Act | None, fault: Fault, at: int
) -> bool:
    """Run with a fault at call number `at`. Return False if there was no such call."""
    tables = MemoryTables()
    if prepare is not None:
        await prepare(service.process(tables))
    failing = FailingTables(tables, fault, at, lambda: act(service.process(tables)))
    with _noted(f"{fault}, at await {at}"):
        if not await _attempt(act, service.process(failing)):
            await _repeat(act, service, tables)
        if failing.calls >= at:
            await _check(check, Left(service.name, tables))
    return failing.calls >= at


async def _attempt(act: Act, process: ServiceProcess) -> bool:
    try:
        await act(process)
    except (SagaError, Died):
        return False
    return True


async def _repeat(act: Act, service: ServiceUnderTest, tables: MemoryTables) -> None:
    for _ in range(MAX_REPETITIONS - 1):
        if await _attempt(act, service.process(tables)):
            return
    await act(service.process(tables))


async def each_delivery_twice(
    service: ServiceUnderTest, events: Sequence[Event], check: Check, *, prepare: Act | None = None
) -> None:
    """Deliver the events in order, and one of them twice: at once, or after all others; each in its own run.

    Both times another process gets the duplicate. Raises what `check` raises, with a note which it was.
    """
    for number, event in enumerate(events):
        for late in (False, True):
            rest = [*events[number + 1 :], event] if late else [event, *events[number + 1 :]]
            tables = MemoryTables()
            if prepare is not None:
                await prepare(service.process(tables))
            when = "after all others" if late else "at once"
            with _noted(f"event {number} ({event.type}) is delivered again {when}"):
                for each in (*events[: number + 1], *rest):
                    await service.process(tables).handle(each)
                await _check(check, Left(service.name, tables))


async def _check(check: Check, left: Left) -> None:
    result = check(left)
    if inspect.isawaitable(result):
        await result


@contextmanager
def _noted(note: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(note)
        raise
