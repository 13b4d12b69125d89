"""Run a use case one atomic step at a time: each transaction, read or call of the provider is one step.

A transaction commits only if what it writes is still as it was read, so it takes effect at its commit, at
once; see `World` for what it reads and does not write. What another process does can only come between two
steps, and a process can only die there.
"""

import itertools
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass
from random import Random
from types import coroutine
from typing import Any

from sagakit.due import encode_due
from sagakit.events import Event
from sagakit.inbox import Inbox
from sagakit.outbox import Outbox
from sagakit.relay import Relay
from sagakit.runtime import Runtime
from sagakit.store import Snapshot, Store
from sagakit.tables import DUE, Entity, Insert, Key, Row
from sagakit.testing.tables import MemoryTables
from services.payment.provider import ChargeAnswer, PaymentProvider
from tests.support.usecases import INBOX, OUTBOX

NOW = 1_800_000_000.0
"""When everything happens (seconds since the epoch), except what is due: time does not pass in the model."""
_COUNTED = ("repeats",)
_IDS = ("eventid", "trace_id")

Records = Mapping[Key, Entity]
"""A service's own entities, without times, eventids and counts of reminders; without outbox and inbox."""


class _Suspend:
    """Yielded by an operation before its next step."""


SUSPEND = _Suspend()


@coroutine
def _suspend() -> Generator[_Suspend, None, None]:
    yield SUSPEND


class Steps:
    """The steps of one operation: those in `log` are replayed, the next one runs, then it suspends."""

    def __init__(self, log: tuple[Any, ...]) -> None:
        self.log = log
        self._replayed = 0
        self._ran = False

    async def step(self, run: Callable[[], Awaitable[Any]]) -> Any:
        self._replayed += 1
        if self._replayed <= len(self.log):
            return self.log[self._replayed - 1]
        if self._ran:
            await _suspend()
        self._ran = True
        result = await run()
        self.log = (*self.log, result)
        return result


class SteppedStore:
    """A `Store` whose reads and transactions are steps."""

    def __init__(self, store: Store, steps: Steps) -> None:
        self._store = store
        self._steps = steps

    async def read(self, keys: Any) -> Snapshot:
        async def found() -> Records:
            snapshot = await self._store.read(keys)
            return {key: entity for key in keys if (entity := snapshot.get(key)) is not None}

        entities = await self._steps.step(found)
        return Snapshot({key: Row(entity, 0) for key, entity in entities.items()}, frozenset(keys))

    async def transact(self, keys: Any, decide: Any, **options: Any) -> Any:
        return await self._steps.step(lambda: self._store.transact(keys, decide, **options))


class SteppedProvider:
    """A payment provider whose calls are steps: each charges or refunds at once, and responds."""

    def __init__(self, provider: PaymentProvider, steps: Steps) -> None:
        self._provider = provider
        self._steps = steps

    async def charge(self, orderid: str, amount: int) -> ChargeAnswer:
        answer: ChargeAnswer = await self._steps.step(lambda: self._provider.charge(orderid, amount))
        return answer

    async def cancel(self, orderid: str) -> int:
        refunded: int = await self._steps.step(lambda: self._provider.cancel(orderid))
        return refunded

    async def check(self) -> None: ...


class Process:
    """One process of a service, for one operation on its records."""

    def __init__(self, records: Records, log: tuple[Any, ...], now: float = NOW) -> None:
        ids = itertools.count()
        self.runtime = Runtime(
            lambda: now, lambda: 0.0, _no_sleep, Random(0), lambda: f"id-{next(ids)}-{id(self)}"
        )
        self.tables = MemoryTables()
        self.steps = Steps(log)
        self._scheduled: str | None = None
        self._outbox = outbox = Outbox(OUTBOX, self.runtime)
        relay = Relay(self.tables, None, "topic", outbox, self.runtime)
        store = Store(self.tables, outbox, relay, self.runtime)
        self.store: Any = SteppedStore(store, self.steps)
        self.inbox = Inbox(INBOX, self.runtime)
        finish(self.tables.commit([Insert(key, entity) for key, entity in records.items()]))

    def schedule(self, name: str) -> None:
        """Stand in for `SideEffects.schedule`, which repeats the side effect in a task of its own."""
        self._scheduled = name

    def run(self, operation: Coroutine[Any, Any, Any]) -> "Left":
        """Run the next step of `operation`. Raises what it raises."""
        suspended = drive(operation)
        rows = {key: row.entity for key, row in self.tables.rows.items()}
        published = [
            self._outbox.event(key, row)
            for key, row in sorted(self.tables.rows.items())
            if key.kind == OUTBOX
        ]
        records = {key: timeless(key, rows[key]) for key in rows if key.kind not in {OUTBOX, INBOX}}
        return Left(records, published, self.steps.log if suspended else None, self._scheduled)


@dataclass(frozen=True, slots=True)
class Left:
    """The result of a step."""

    records: Records
    published: list[Event]
    log: tuple[Any, ...] | None
    """The results of its steps so far; None: it has returned."""
    scheduled: str | None
    """The entity whose side effect is to be repeated."""


def timeless(key: Key, entity: Entity) -> Entity:
    """Return the entity as if everything had happened at NOW, and no reminder had been sent."""
    fields = {name: _timeless(name, value) for name, value in entity.items()}
    if fields.get(DUE) is not None:
        fields[DUE] = encode_due(key.name, NOW + 1)
    return fields


def _timeless(name: str, value: Any) -> Any:
    if isinstance(value, float):
        return NOW
    if isinstance(value, list | tuple):
        return [timeless(Key("", ""), each) if isinstance(each, Mapping) else each for each in value]
    return 0 if name in _COUNTED else None if name in _IDS else value


def drive(operation: Coroutine[Any, Any, Any]) -> bool:
    """Run until it suspends before a step (return True) or returns. Raises what it raises."""
    try:
        while operation.send(None) is not SUSPEND:
            pass
    except StopIteration:
        return False
    operation.close()
    return True


def finish(operation: Coroutine[Any, Any, Any]) -> None:
    """Run an operation that has no steps."""
    assert not drive(operation)


async def _no_sleep(_: float) -> None: ...
