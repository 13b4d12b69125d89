"""Migrations: bring stored entities into a new shape, one by one, while services keep changing them."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

from sagakit.errors import Contention, OutcomeUnknown, Poison
from sagakit.runtime import Runtime
from sagakit.store import CONFLICT_BACKOFF, Snapshot
from sagakit.tables import UNREADABLE, Entity, Key, Row, Tables

PAGE = 100
"""Entities in memory at a time."""
WRITES_PER_SECOND = 100.0
"""A fifth of what Datastore recommends to begin with in a new kind."""


@dataclass(frozen=True, slots=True)
class Migration:
    """A new shape of the entities of a kind."""

    kind: str
    convert: Callable[[Key, Entity], Mapping[Key, Entity]]
    """Returns the whole entities to write, under its own key and others; none if it has the new shape.

    Must be pure, keep properties that it does not know (`due` is one), and return nothing for what it has
    converted: it runs again after conflicts and interruptions. Raises Poison, ArithmeticError, LookupError,
    TypeError or ValueError if the entity cannot be converted.
    """


@dataclass(frozen=True, slots=True)
class Migrated:
    """The result for one entity."""

    key: Key
    before: Entity = field(default_factory=dict)
    writes: Mapping[Key, Entity] = field(default_factory=dict)
    """Entities that were written, or would be; empty if it had the new shape or was deleted meanwhile."""
    problem: str = ""
    """Why it was not converted and is unchanged; "" if nothing is wrong."""


async def migrate(
    tables: Tables,
    migration: Migration,
    runtime: Runtime,
    *,
    after: str = "",
    writes_per_second: float = WRITES_PER_SECOND,
    dry_run: bool = False,
) -> AsyncIterator[Migrated]:
    """Convert the entities of the kind whose names sort after `after`, in their order; yield each result.

    Each entity is converted in a commit of its own, only if it has not changed since it was read; else it is
    read and converted again. So it can end at any time, and continue after the last name, or from the start.
    Raises Unavailable if the database cannot be reached.
    """
    while page := await tables.page(migration.kind, after, PAGE):
        for key, row in page:
            migrated = await _migrate(tables, migration, runtime, key, row, dry_run=dry_run)
            yield migrated
            if migrated.writes and not dry_run:
                await runtime.sleep(1 / writes_per_second)
        after = page[-1][0].name


async def _migrate(
    tables: Tables, migration: Migration, runtime: Runtime, key: Key, row: Row, *, dry_run: bool
) -> Migrated:
    found = {key: row}
    for delay in CONFLICT_BACKOFF.delays(runtime.random):
        if key not in found:
            return Migrated(key)
        before = found[key].entity
        try:
            writes = _convert(migration, key, before)
            if writes and not dry_run:
                # Unchanged or not, the entity is written, so that the commit conflicts if it has changed.
                snapshot = Snapshot(found, found)
                await tables.commit([snapshot.put(*each) for each in {key: before, **writes}.items()])
            return Migrated(key, before, writes)
        except (Contention, OutcomeUnknown):
            await runtime.sleep(delay)
            found = await tables.lookup([*{key: before, **writes}])
        except (Poison, ArithmeticError, LookupError, TypeError, ValueError) as error:
            return Migrated(key, before, problem=f"{type(error).__name__}: {error}")
    return Migrated(key, before, problem="other writers kept committing first")


def _convert(migration: Migration, key: Key, entity: Entity) -> Mapping[Key, Entity]:
    if UNREADABLE in entity:
        raise Poison(entity[UNREADABLE])
    writes = migration.convert(key, entity)
    if writes and migration.convert(key, writes.get(key, entity)):
        # Run again after a commit without a response, it would be applied twice.
        raise ValueError("the migration is not idempotent")
    return writes
