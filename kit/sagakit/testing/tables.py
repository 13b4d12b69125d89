"""`Tables` for tests: in memory, and wrappers that count calls, lose responses or cause conflicts."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from sagakit.errors import Contention, OutcomeUnknown, Unavailable
from sagakit.tables import (
    DUE,
    EXPIRES_AT,
    Delete,
    Entity,
    Insert,
    Key,
    Mutation,
    Row,
    Tables,
    Update,
    check_lookup,
    check_name,
)


class MemoryTables:
    """Tables in memory. `TablesContract` holds them to the same promises as the others."""

    checks_versions = True

    def __init__(self) -> None:
        self.rows: dict[Key, Row] = {}
        self.unavailable = False
        self.failures: list[Exception] = []
        """Errors that the next commits raise, in order."""
        self._version = 0

    async def lookup(self, keys: Sequence[Key]) -> dict[Key, Row]:
        await self._call()
        check_lookup(keys)
        return self.find(keys)

    async def commit(self, mutations: Sequence[Mutation]) -> None:
        await self._call()
        if self.failures:
            raise self.failures.pop(0)
        self.apply(mutations)

    async def due(self, kind: str, start: str, end: str, limit: int) -> list[tuple[Key, Row]]:
        await self._call()
        return self.find_due(kind, start, end, limit)

    async def page(self, kind: str, after: str, limit: int) -> list[tuple[Key, Row]]:
        await self._call()
        return self.find_page(kind, after, limit)

    async def expire(self, now: float, limit: int) -> int:
        await self._call()
        past = [
            key
            for key, row in self.rows.items()
            if EXPIRES_AT in row.entity and row.entity[EXPIRES_AT].timestamp() < now
        ]
        for key in past[:limit]:
            del self.rows[key]
        return len(past[:limit])

    def find(self, keys: Iterable[Key]) -> dict[Key, Row]:
        """Return what `lookup` does, at once."""
        return {key: self.rows[key] for key in keys if key in self.rows}

    def apply(self, mutations: Sequence[Mutation]) -> None:
        """Do what `commit` does, at once. Raises Contention, and Poison for a name that is too long."""
        for mutation in mutations:
            check_name(mutation.key.name)
            if self.conflicts(mutation):
                raise Contention(str(mutation.key))
        self._version += 1
        for mutation in mutations:
            self._put(mutation.key, None if isinstance(mutation, Delete) else mutation.entity)

    def conflicts(self, mutation: Mutation) -> bool:
        """Return whether another writer committed first."""
        row = self.rows.get(mutation.key)
        match mutation:
            case Insert():
                return row is not None
            case Update(_, _, version):
                return row is None or (self.checks_versions and row.version != version)
        return False

    def find_due(self, kind: str, start: str, end: str, limit: int) -> list[tuple[Key, Row]]:
        """Return what `due` does, at once."""
        found = [
            (key, row)
            for key, row in self.rows.items()
            if key.kind == kind and row.entity.get(DUE) is not None and start <= row.entity[DUE] < end
        ]
        return sorted(found, key=lambda each: each[1].entity[DUE])[:limit]

    def find_page(self, kind: str, after: str, limit: int) -> list[tuple[Key, Row]]:
        """Return what `page` does, at once."""
        found = sorted(key for key in self.rows if key.kind == kind and key.name > after)
        return [(key, self.rows[key]) for key in found[:limit]]

    def restore(self, kinds: Sequence[str], rows: Mapping[Key, Row]) -> None:
        """Replace all entities of some kinds by those in `rows`, as a restore of a backup does."""
        self._version += 1
        for key in [key for key in self.rows if key.kind in kinds]:
            self._put(key, None)
        for key, row in rows.items():
            if key.kind in kinds:
                self._put(key, row.entity)

    async def _call(self) -> None:
        await asyncio.sleep(0)
        if self.unavailable:
            raise Unavailable("the tables are unavailable")

    def _put(self, key: Key, entity: Entity | None) -> None:
        if entity is None:
            self.rows.pop(key, None)
        else:
            self.rows[key] = Row(entity, self._version)


class CountedTables:
    """Counts the calls of `tables`, and records commits and the ranges of `due`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.expire = tables.expire
        self.calls: Counter[str] = Counter()
        self.committed: list[Sequence[Mutation]] = []
        self.ranges: list[tuple[str, str]] = []
        self.found = 0
        """Rows that `due` returned."""

    async def lookup(self, keys: Sequence[Key]) -> dict[Key, Row]:
        self.calls["lookup"] += 1
        return await self._tables.lookup(keys)

    async def commit(self, mutations: Sequence[Mutation]) -> None:
        self.calls["commit"] += 1
        await self._tables.commit(mutations)
        self.committed.append(mutations)

    async def due(self, kind: str, start: str, end: str, limit: int) -> list[tuple[Key, Row]]:
        self.calls["due"] += 1
        self.ranges.append((start, end))
        rows = await self._tables.due(kind, start, end, limit)
        self.found += len(rows)
        return rows

    async def page(self, kind: str, after: str, limit: int) -> list[tuple[Key, Row]]:
        self.calls["page"] += 1
        return await self._tables.page(kind, after, limit)


class LostResponseTables:
    """Loses the responses to the first `count` commits, which are applied or not."""

    def __init__(self, tables: Tables, *, applied: bool, count: int = 1) -> None:
        self._tables = tables
        self._applied = applied
        self.left = count
        self.lookup = tables.lookup
        self.due = tables.due
        self.page = tables.page
        self.expire = tables.expire

    async def commit(self, mutations: Sequence[Mutation]) -> None:
        if not self.left:
            return await self._tables.commit(mutations)
        self.left -= 1
        if self._applied:
            await self._tables.commit(mutations)
        raise OutcomeUnknown("the connection broke")


class ConflictingTables:
    """Lets another writer commit before each of the first commits."""

    def __init__(self, tables: Tables, *rivals: Callable[[], Sequence[Mutation]]) -> None:
        self._tables = tables
        self._rivals = list(rivals)
        self.lookup = tables.lookup
        self.due = tables.due
        self.page = tables.page
        self.expire = tables.expire

    async def commit(self, mutations: Sequence[Mutation]) -> None:
        if self._rivals:
            await self._tables.commit(self._rivals.pop(0)())
        await self._tables.commit(mutations)
