"""Steps: one lookup, one pure function, one commit, and again from fresh reads when a race was lost."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from sagakit.errors import Contention, OutcomeUnknown
from sagakit.events import Event
from sagakit.locks import KeyedLocks
from sagakit.outbox import Outbox
from sagakit.relay import Relay
from sagakit.runtime import Backoff, Runtime
from sagakit.tables import Entity, Insert, Key, Mutation, Row, Tables, Update
from sagakit.telemetry import metrics
from sagakit.telemetry.spans import set_attribute

R = TypeVar("R")

CONFLICT_BACKOFF = Backoff(first_seconds=0.004, cap_seconds=0.25, attempts=16)
MAX_UNKNOWN_OUTCOMES = 2
MAX_KEY_ROUNDS = 4
"""How often a step may find out that it needs more keys."""


class MissingKeys(Exception):
    """A step has found out that it must see more: it begins again, with these looked up as well."""

    def __init__(self, keys: Sequence[Key]) -> None:
        super().__init__(keys)
        self.keys = keys


class Snapshot:
    """What a lookup found. A key that was not looked up counts as absent: its write is a blind insert."""

    def __init__(self, rows: Mapping[Key, Row], looked_up: Collection[Key]) -> None:
        self._rows = rows
        self._looked_up = looked_up

    def get(self, key: Key) -> Entity | None:
        row = self._rows.get(key)
        return None if row is None else row.entity

    def require(self, keys: Iterable[Key]) -> None:
        """Go on only where all of these were looked up; else the step begins again with them."""
        missing = [key for key in keys if key not in self._looked_up]
        if missing:
            raise MissingKeys(missing)

    def put(self, key: Key, entity: Entity) -> Mutation:
        """What was found is updated in the version it was found in; anything else is inserted."""
        row = self._rows.get(key)
        return Insert(key, entity) if row is None else Update(key, entity, row.version)


@dataclass(frozen=True, slots=True)
class Changes(Generic[R]):
    """What a step decided: what to answer, and what to write and to say, both or neither."""

    result: R
    writes: Mapping[Key, Entity] = field(default_factory=dict)
    events: Sequence[Event] = ()
    on_commit: Callable[[], None] | None = None
    """Called once it is committed, to count what happened. A commit without an answer may go uncounted."""

    @property
    def unchanged(self) -> bool:
        return not self.writes and not self.events


Decide = Callable[[Snapshot], Changes[R]]


class Store:
    """A service's own data, with the outbox of what it says about it."""

    def __init__(
        self,
        tables: Tables,
        outbox: Outbox,
        relay: Relay,
        runtime: Runtime,
        wrote: Callable[[Iterable[Key]], None] = lambda _: None,
    ) -> None:
        """`wrote` is told of what every commit has written."""
        self._tables = tables
        self._outbox = outbox
        self._relay = relay
        self._runtime = runtime
        self._spans = runtime.spans
        self._locks = KeyedLocks()
        self._wrote = wrote
        self._steps = runtime.metrics.histogram(metrics.TRANSACTION_DURATION)
        self._lost_races = runtime.metrics.counter(metrics.TRANSACTION_CONFLICTS)

    async def read(self, keys: Sequence[Key]) -> Snapshot:
        """The entities as of their latest commits. One call."""
        return Snapshot(await self._tables.lookup(keys), frozenset(keys))

    async def view(self, keys: Sequence[Key], compute: Callable[[Snapshot], R]) -> R:
        """What `compute` makes of what is found; it may require more keys."""
        for _ in range(MAX_KEY_ROUNDS):
            try:
                return compute(await self.read(keys))
            except MissingKeys as more:
                keys = (*keys, *more.keys)
        raise Contention("what is to be read kept growing")

    async def transact(
        self,
        keys: Sequence[Key],
        decide: Decide[R],
        *,
        read_only: Sequence[Key] = (),
        retry_unknown: bool = True,
    ) -> Changes[R]:
        """Apply `decide` atomically, again from fresh reads whenever another writer got there first.

        `decide` is pure and may run several times. Its writes carry the versions that were found;
        keys it writes without having looked them up are inserted blind, and looked up as well once
        an insert collided. It may require more keys than `keys` and `read_only`. Where it changes
        nothing, nothing is committed.

        Steps of one process that share one of `keys` queue up, rather than lose races against one
        another; `read_only` are keys that are looked up and not written, which nobody queues for.

        Raises Contention when races are lost too often, and what `decide` raises. A commit without
        an answer is tried again only if `retry_unknown`: the step carries an inbox row, or is
        idempotent by construction; else OutcomeUnknown.
        """
        began, outcome = self._runtime.monotonic(), metrics.RAISED
        try:
            changes = await self._rounds(keys, decide, read_only, retry_unknown)
            outcome = metrics.UNCHANGED if changes.unchanged else metrics.COMMITTED
            return changes
        finally:
            self._steps.record(self._runtime.monotonic() - began, {"outcome": outcome})

    async def _rounds(
        self, keys: Sequence[Key], decide: Decide[R], read_only: Sequence[Key], retry_unknown: bool
    ) -> Changes[R]:
        wanted = tuple(keys)
        with self._spans.transaction():
            for _ in range(MAX_KEY_ROUNDS):
                try:
                    async with self._locks.hold(wanted):
                        return await self._attempts((*read_only, *wanted), decide, retry_unknown)
                except MissingKeys as more:
                    wanted = (*wanted, *more.keys)
            raise Contention("what the step must see kept growing")

    async def _attempts(self, keys: Sequence[Key], decide: Decide[R], retry_unknown: bool) -> Changes[R]:
        wanted = tuple(keys)
        unknown_outcomes = 0
        for attempt, pause in enumerate(CONFLICT_BACKOFF.delays(self._runtime.random), 1):
            set_attribute("attempt", attempt)
            changes, mutations = await self._decided(wanted, decide)
            if changes.unchanged:
                return changes
            try:
                await self._tables.commit(mutations)
            except OutcomeUnknown:
                unknown_outcomes += 1
                if not retry_unknown or unknown_outcomes > MAX_UNKNOWN_OUTCOMES:
                    raise
            except Contention:
                self._lost_races.add(1)
            else:
                self._relay.enqueue(changes.events)
                self._wrote(changes.writes)
                if changes.on_commit is not None:
                    changes.on_commit()
                return changes
            # Which key collided is not said, so all that were inserted blind are read from now on.
            wanted = tuple(dict.fromkeys((*wanted, *changes.writes)))
            await self._runtime.sleep(pause)
        raise Contention("other writers kept getting there first")

    async def _decided(self, keys: Sequence[Key], decide: Decide[R]) -> tuple[Changes[R], list[Mutation]]:
        found = await self.read(keys) if keys else Snapshot({}, ())
        changes = self._traced(decide(found))
        mutations = [found.put(key, entity) for key, entity in changes.writes.items()]
        mutations += self._outbox.inserts(changes.events)
        return changes, mutations

    def _traced(self, changes: Changes[R]) -> Changes[R]:
        """What waits and what is said carry the context of the step: the trace goes on from there."""
        if changes.unchanged or not self._spans.enabled:
            return changes
        events = self._relay.producer_spans(changes.events)
        return replace(changes, writes=self._spans.with_trace_context(changes.writes), events=events)
