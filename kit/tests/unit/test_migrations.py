"""Migrations: conflicts, interruptions, dry runs and corrupt entities."""

from collections.abc import AsyncIterator, Mapping
from random import Random

import pytest

from sagakit.errors import Poison, Unavailable
from sagakit.migrations import PAGE, Migrated, Migration, migrate
from sagakit.runtime import Runtime
from sagakit.store import CONFLICT_BACKOFF
from sagakit.tables import DUE, UNREADABLE, Delete, Entity, Insert, Key, Tables, Update
from sagakit.testing.tables import ConflictingTables, CountedTables, LostResponseTables, MemoryTables

A, B, C = (Key("Parcel", name) for name in "abc")


def rename(key: Key, entity: Entity) -> Mapping[Key, Entity]:
    if "grams" in entity:
        return {}
    rest = {name: value for name, value in entity.items() if name != "weight"}
    return {key: {**rest, "grams": entity["weight"]}}


RENAME = Migration("Parcel", rename)


class Sleeps:
    """A runtime that records how long it sleeps."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.runtime = Runtime(sleep=self._sleep, random=Random(1))

    async def _sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)


def migrating(
    tables: Tables, migration: Migration = RENAME, *, after: str = "", dry_run: bool = False
) -> AsyncIterator[Migrated]:
    return migrate(tables, migration, Sleeps().runtime, after=after, dry_run=dry_run)


async def results(tables: Tables, migration: Migration = RENAME, *, dry_run: bool = False) -> list[Migrated]:
    return [each async for each in migrating(tables, migration, dry_run=dry_run)]


async def stored(entities: Mapping[Key, Entity]) -> MemoryTables:
    tables = MemoryTables()
    await tables.commit([Insert(key, entity) for key, entity in entities.items()])
    return tables


async def parcels() -> MemoryTables:
    return await stored({key: {"weight": n, "gift": True} for n, key in enumerate((A, B, C))})


def shown(tables: MemoryTables) -> dict[str, Entity]:
    return {key.name: row.entity for key, row in tables.rows.items()}


CONVERTED = {name: {"gift": True, "grams": n} for n, name in enumerate("abc")}


async def test_other_properties_and_other_kinds_stay():
    other = Key("Basket", "a")
    tables = await stored({A: {"weight": 5, DUE: "00:1", "gift": True}, other: {"weight": 1}})

    (result,) = await results(tables)

    assert tables.rows[A].entity == {"grams": 5, DUE: "00:1", "gift": True}
    assert tables.rows[other].entity == {"weight": 1}
    assert (result.key, result.before["weight"], result.problem) == (A, 5, "")


async def test_second_run_writes_nothing():
    tables = await parcels()
    await results(tables)
    counted = CountedTables(tables)

    again = await results(counted)

    assert [each.writes for each in again] == [{}, {}, {}]
    assert counted.calls["commit"] == 0


async def test_dry_run_writes_nothing():
    tables = await parcels()
    before, counted = dict(tables.rows), CountedTables(tables)

    planned = await results(counted, dry_run=True)

    assert [each.writes for each in planned] == [{key: CONVERTED[key.name]} for key in (A, B, C)]
    assert (tables.rows, counted.calls["commit"]) == (before, 0)


async def test_writer_that_commits_first_wins_and_its_entity_is_converted_again():
    tables = await parcels()
    version = tables.rows[A].version
    rival = ConflictingTables(tables, lambda: [Update(A, {"weight": 70, "gift": False}, version)])

    await results(rival)

    assert shown(tables) == {**CONVERTED, "a": {"gift": False, "grams": 70}}


async def test_entity_that_is_deleted_meanwhile_stays_deleted():
    tables = await parcels()

    await results(ConflictingTables(tables, lambda: [Delete(A)]))

    assert shown(tables) == {name: CONVERTED[name] for name in "bc"}


async def test_entity_whose_writers_never_pause_is_reported_and_delays_no_other():
    tables, sleeps = await parcels(), Sleeps()

    def rival() -> list[Update]:
        row = tables.rows[A]
        return [Update(A, {"weight": row.entity["weight"] + 1}, row.version)]

    busy = ConflictingTables(tables, *[rival] * CONFLICT_BACKOFF.attempts)
    found = [each async for each in migrate(busy, RENAME, sleeps.runtime)]

    assert [each.problem for each in found] == ["other writers kept committing first", "", ""]
    assert shown(tables) == {**CONVERTED, "a": {"weight": CONFLICT_BACKOFF.attempts}}
    assert sum(sleeps.seconds[:-2]) < 10


@pytest.mark.parametrize("applied", [True, False])
async def test_commit_without_a_response_is_applied_once(applied: bool):
    tables = await parcels()

    await results(LostResponseTables(tables, applied=applied))

    assert shown(tables) == CONVERTED


@pytest.mark.parametrize("done", range(4))
@pytest.mark.parametrize("from_the_start", [True, False])
async def test_interrupted_migration_is_continued_or_run_again(done: int, from_the_start: bool):
    tables, last = await parcels(), ""

    async for each in (interrupted := migrating(tables)):
        if done == 0:
            break
        done, last = done - 1, each.key.name
    await interrupted.aclose()
    [_ async for _ in migrating(tables, after="" if from_the_start else last)]

    assert shown(tables) == CONVERTED


async def test_outage_ends_it_with_whole_entities():
    tables = await parcels()
    tables.failures = [Unavailable("no"), Unavailable("no")]

    with pytest.raises(Unavailable):
        await results(tables)

    assert [each for each in shown(tables).values() if "grams" in each] == []
    tables.failures = []
    await results(tables)
    assert shown(tables) == CONVERTED


@pytest.mark.parametrize(
    ("entity", "problem"),
    [
        ({"gift": True}, "KeyError: 'weight'"),
        ({UNREADABLE: "damaged JSON"}, "Poison: damaged JSON"),
    ],
)
async def test_corrupt_entity_is_reported_and_left_as_it_is(entity: Entity, problem: str):
    tables = await stored({A: {"weight": 0, "gift": True}, B: entity, C: {"weight": 2, "gift": True}})

    found = await results(tables)

    assert [each.problem for each in found] == ["", problem, ""]
    assert shown(tables) == {**CONVERTED, "b": entity}


async def test_entity_that_cannot_be_stored_is_reported():
    tables = await parcels()
    tables.failures = [Poison("unstorable: an entity of 2000000 bytes")]

    assert [each.problem for each in await results(tables)] == [
        "Poison: unstorable: an entity of 2000000 bytes",
        "",
        "",
    ]


@pytest.mark.parametrize(
    "convert",
    [
        lambda key, entity: {key: {**entity, "weight": entity["weight"] * 1000}},
        lambda key, entity: {Key("Copy", key.name): entity},
    ],
    ids=["multiplies", "copies"],
)
async def test_migration_that_is_not_idempotent_changes_nothing(convert):
    tables = await parcels()
    before = dict(tables.rows)

    found = await results(tables, Migration("Parcel", convert))

    assert {each.problem for each in found} == {"ValueError: the migration is not idempotent"}
    assert tables.rows == before


async def test_ten_thousand_entities_are_read_in_pages_and_written_at_the_rate():
    rows = 10_000
    tables = await stored(
        {Key("Parcel", f"{n:05}"): {"weight" if n % 10 == 0 else "grams": n} for n in range(rows)}
    )
    counted, sleeps = CountedTables(tables), Sleeps()

    converted = 0
    async for each in migrate(counted, RENAME, sleeps.runtime, writes_per_second=50):
        converted += bool(each.writes)

    assert converted == rows // 10
    assert counted.calls == {"page": rows // PAGE + 1, "commit": rows // 10}
    assert sleeps.seconds == [1 / 50] * (rows // 10)
    assert all(row.entity == {"grams": int(key.name)} for key, row in tables.rows.items())
