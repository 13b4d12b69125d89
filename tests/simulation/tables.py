"""The simulated database: implements `Tables` in memory, with every kind of failure that `Tables` allows."""

import asyncio
from collections.abc import Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING

from sagakit.errors import Contention, OutcomeUnknown, Unavailable
from sagakit.tables import DUE, Delete, Entity, Insert, Key, Mutation, Row, Update
from tests.simulation.observer import Observer
from tests.support.newer_release import lost_properties

if TYPE_CHECKING:
    from tests.simulation.process import SimProcess


class SimDatabase:
    """Versioned entities, and an index of those with a `due` property."""

    checks_versions = True

    def __init__(self, observer: Observer, *, mixed_versions: bool = False) -> None:
        self._observer = observer
        self._mixed_versions = mixed_versions
        self.kinds: dict[str, dict[str, Row]] = {}
        self._due: dict[str, dict[str, str]] = {}
        self._version = 0

    def get(self, key: Key) -> Row | None:
        return self.kinds.get(key.kind, {}).get(key.name)

    def commit(self, mutations: Sequence[Mutation]) -> None:
        for mutation in mutations:
            self._check(mutation)
        self._version += 1
        for mutation in mutations:
            entity = None if isinstance(mutation, Delete) else mutation.entity
            self._put(mutation.key, entity)
        self._observer.committed(mutations)

    def due(self, kind: str, start: str, end: str, limit: int) -> list[tuple[Key, Row]]:
        index = self._due.get(kind, {})
        found = sorted((due, name) for name, due in index.items() if start <= due < end)
        return [(Key(kind, name), self.kinds[kind][name]) for _, name in found[:limit]]

    def page(self, kind: str, after: str, limit: int) -> list[tuple[Key, Row]]:
        rows = self.kinds.get(kind, {})
        names = sorted(name for name in rows if name > after)
        return [(Key(kind, name), rows[name]) for name in names[:limit]]

    def copy(self, kinds: Sequence[str]) -> dict[str, dict[str, Row]]:
        """Return the entities of some kinds, to put them back later."""
        return {kind: dict(self.kinds.get(kind, {})) for kind in kinds}

    def put_back(self, kinds: Mapping[str, Mapping[str, Row]]) -> None:
        """Replace all entities of these kinds, as a restore into another database does."""
        self._version += 1
        for kind, rows in kinds.items():
            self.kinds[kind] = {name: Row(row.entity, self._version) for name, row in rows.items()}
            self._due[kind] = {name: row.entity[DUE] for name, row in rows.items() if DUE in row.entity}

    def _check(self, mutation: Mutation) -> None:
        row = self.get(mutation.key)
        match mutation:
            case Insert() if row is not None:
                raise Contention(str(mutation.key))
            case Update(_, _, version) if row is None or (self.checks_versions and row.version != version):
                raise Contention(str(mutation.key))

    def _put(self, key: Key, entity: Entity | None) -> None:
        rows, index = self.kinds.setdefault(key.kind, {}), self._due.setdefault(key.kind, {})
        index.pop(key.name, None)
        if entity is None:
            rows.pop(key.name, None)
            return
        before = rows[key.name].entity if self._mixed_versions and key.name in rows else {}
        if lost := lost_properties(before, entity):
            self._observer.problems.append(f"{key}: a rewrite lost {lost} properties of a newer release")
        rows[key.name] = Row(entity, self._version)
        if DUE in entity:
            index[key.name] = entity[DUE]


class SimTables:
    """One process's connection to the database."""

    def __init__(self, database: SimDatabase, process: "SimProcess", random: Random) -> None:
        self.process = process
        """Supplies the fault rates, which change during a run."""
        self._database = database
        self._random = random

    async def lookup(self, keys: Sequence[Key]) -> dict[Key, Row]:
        await self._call()
        rows = {key: self._database.get(key) for key in keys}
        return {key: row for key, row in rows.items() if row is not None}

    async def commit(self, mutations: Sequence[Mutation]) -> None:
        """Apply the mutations during the call; a process that dies before its end cannot know whether."""
        await self._call()
        if self._happens(self.process.faults.conflict):
            raise Contention("injected conflict")
        if self._happens(self.process.faults.unknown_lost):
            raise OutcomeUnknown("the request was lost")
        release = self.process.release
        self._database.commit(mutations if release is None else release.commit(mutations))
        self._maybe_empty_subscriptions({mutation.key.kind for mutation in mutations})
        await asyncio.sleep(self.process.faults.latency(self._random))
        if self._happens(self.process.faults.unknown_applied):
            raise OutcomeUnknown("the response was lost")

    def _maybe_empty_subscriptions(self, kinds: set[str]) -> None:
        faults = self.process.faults
        if self._happens(faults.emptied) and faults.emptied_kind in {"", *kinds}:
            self.process.broker.delete_subscriptions(self.process.service)
            self.process.crash()

    async def due(self, kind: str, start: str, end: str, limit: int) -> list[tuple[Key, Row]]:
        await self._call()
        return self._database.due(kind, start, end, limit)

    async def page(self, kind: str, after: str, limit: int) -> list[tuple[Key, Row]]:
        return self._database.page(kind, after, limit)

    async def expire(self, now: float, limit: int) -> int:
        return 0

    async def _call(self) -> None:
        await asyncio.sleep(self.process.faults.latency(self._random))
        if self._happens(self.process.faults.unavailable):
            raise Unavailable("the database is unavailable")

    def _happens(self, probability: float) -> bool:
        return self._random.random() < probability
