"""The promises of `Tables` about entities and commits."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta, timezone

import pytest
import pytest_asyncio

from sagakit.errors import Contention, Poison
from sagakit.tables import DUE, Delete, Entity, Insert, Key, Tables, Update

OpenTables = Callable[[], AbstractAsyncContextManager[Tables]]
"""Opens the same tables, empty at first, as each process does."""

A = Key("Thing", "a")
B = Key("Thing", "b")
C = Key("Thing", "c")
BERLIN = timezone(timedelta(hours=2))


async def entity_of(tables: Tables, key: Key) -> Entity | None:
    row = (await tables.lookup([key])).get(key)
    return None if row is None else row.entity


async def version_of(tables: Tables, key: Key) -> int:
    return (await tables.lookup([key]))[key].version


class EntitiesContract:
    """Part of `TablesContract`."""

    pytestmark = pytest.mark.asyncio

    @pytest.fixture
    def max_mutations(self) -> int:
        """The mutations that a commit accepts: at least MAX_MUTATIONS."""
        return 500

    @pytest.fixture
    def max_entity_bytes(self) -> int | None:
        """A size that is too large for an entity; None: none is."""
        return 1_100_000

    @pytest_asyncio.fixture
    async def tables(self, open_tables: OpenTables) -> AsyncIterator[Tables]:
        """The tables under test."""
        async with open_tables() as tables:
            yield tables

    @pytest_asyncio.fixture
    async def seen(self, open_tables: OpenTables) -> AsyncIterator[Tables]:
        """The same tables, as another process sees them."""
        async with open_tables() as tables:
            yield tables

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "text",
            "Grüße, 世界 🎈 \x00",
            b"",
            b"\x00\xff bytes",
            0,
            -1,
            2**63 - 1,
            -(2**63),
            0.1,
            -1e300,
            1.0,
            True,
            False,
            None,
            [],
            [1, "two", None, {"three": [3.0, True]}],
            {},
            {"outer": {"inner": [{"deep": b"down"}], "none": None}, "empty": {}},
            datetime(2026, 3, 1, 12, 30, 59, 123456, tzinfo=UTC),
            datetime(1969, 7, 20, 20, 17, tzinfo=UTC),
            datetime(2026, 3, 1, 12, 30, tzinfo=BERLIN),
            "x" * 100_000,
        ],
        ids=lambda value: f"{type(value).__name__}-{str(value)[:12]!a}",
    )
    async def test_value_is_read_as_it_was_stored(self, tables: Tables, value: object) -> None:
        await tables.commit([Insert(A, {"value": value})])

        found = await entity_of(tables, A)

        assert found == {"value": value}
        assert type(found["value"]) is type(value)

    async def test_absent_keys_are_left_out(self, tables: Tables) -> None:
        await tables.commit([Insert(A, {"is": "a"}), Insert(C, {"is": "c"})])

        found = await tables.lookup([A, B, C])

        assert {key: row.entity for key, row in found.items()} == {A: {"is": "a"}, C: {"is": "c"}}

    async def test_repeated_key_is_returned_once(self, tables: Tables) -> None:
        await tables.commit([Insert(A, {"is": "a"})])

        found = await tables.lookup([A, B, A, B])

        assert list(found) == [A]

    async def test_same_name_in_two_kinds_is_two_entities(self, tables: Tables) -> None:
        other = Key("Other", A.name)

        await tables.commit([Insert(A, {"is": "thing"}), Insert(other, {"is": "other"})])

        assert await entity_of(tables, A) == {"is": "thing"}
        assert await entity_of(tables, other) == {"is": "other"}

    @pytest.mark.parametrize(
        "name",
        [
            "__reserved__",
            "~__reserved__",
            "~~__reserved__",
            "__",
            ".",
            "..",
            "~",
            "a/b",
            "a b",
            "é" * 128,
            "$",
            "0",
        ],
    )
    async def test_any_id_is_a_valid_name(self, tables: Tables, name: str) -> None:
        key = Key("Thing", name)

        await tables.commit([Insert(key, {"is": name, DUE: "5"})])

        assert await entity_of(tables, key) == {"is": name, DUE: "5"}
        assert [found for found, _ in await tables.due("Thing", "0", "9", 10)] == [key]

    async def test_similar_names_are_different(self, tables: Tables) -> None:
        names = ["__a__", "~__a__", "~~__a__", "a", "A", "ä", "a\u0308"]

        await tables.commit([Insert(Key("Thing", name), {"is": name}) for name in names])

        found = await tables.lookup([Key("Thing", name) for name in names])
        assert {key.name: row.entity["is"] for key, row in found.items()} == {name: name for name in names}

    async def test_insert_of_an_existing_entity_applies_nothing(self, tables: Tables, seen: Tables) -> None:
        await tables.commit([Insert(A, {"n": 1})])

        with pytest.raises(Contention):
            await tables.commit([Insert(B, {"n": 2}), Insert(A, {"n": 2}), Insert(C, {"n": 2})])

        assert {key: row.entity for key, row in (await seen.lookup([A, B, C])).items()} == {A: {"n": 1}}

    async def test_update_of_a_stale_version_applies_nothing(self, tables: Tables, seen: Tables) -> None:
        await tables.commit([Insert(A, {"n": 1}), Insert(C, {"n": 1})])
        stale = await version_of(tables, A)
        await tables.commit([Update(A, {"n": 2}, stale)])

        with pytest.raises(Contention):
            await tables.commit([Insert(B, {"n": 3}), Update(A, {"n": 3}, stale), Delete(C)])

        assert {key: row.entity for key, row in (await seen.lookup([A, B, C])).items()} == {
            A: {"n": 2},
            C: {"n": 1},
        }

    async def test_update_of_a_missing_entity_applies_nothing(self, tables: Tables, seen: Tables) -> None:
        await tables.commit([Insert(A, {"n": 1})])
        version = await version_of(tables, A)
        await tables.commit([Delete(A)])

        with pytest.raises(Contention):
            await tables.commit([Update(A, {"n": 2}, version), Insert(B, {"n": 2})])

        assert await seen.lookup([A, B]) == {}

    async def test_version_changes_with_every_change(self, tables: Tables) -> None:
        """Only a change counts: Datastore treats an identical write as none."""
        await tables.commit([Insert(A, {"n": 0}), Insert(B, {"n": 0})])
        versions = [await version_of(tables, A)]
        untouched = await version_of(tables, B)

        for n in (1, 0, 1, 0):
            await tables.commit([Update(A, {"n": n}, versions[-1])])
            versions.append(await version_of(tables, A))

        assert len(set(versions)) == len(versions)
        assert await version_of(tables, B) == untouched

    async def test_recreated_entity_has_a_new_version(self, tables: Tables) -> None:
        await tables.commit([Insert(A, {"n": 1})])
        before = await version_of(tables, A)
        await tables.commit([Delete(A)])
        await tables.commit([Insert(A, {"n": 1})])

        with pytest.raises(Contention):
            await tables.commit([Update(A, {"n": 2}, before)])

        assert await entity_of(tables, A) == {"n": 1}

    async def test_update_replaces_all_properties(self, tables: Tables) -> None:
        await tables.commit([Insert(A, {"old": 1, DUE: "5"})])

        await tables.commit([Update(A, {"new": 2}, await version_of(tables, A))])

        assert await entity_of(tables, A) == {"new": 2}
        assert await tables.due("Thing", "0", "9", 10) == []

    async def test_missing_or_deleted_entity_can_be_deleted(self, tables: Tables) -> None:
        await tables.commit([Insert(A, {"n": 1})])

        await tables.commit([Delete(B), Delete(A), Delete(A), Delete(C)])
        await tables.commit([Delete(A)])

        assert await tables.lookup([A, B, C]) == {}

    async def test_commit_accepts_many_mutations(self, tables: Tables, max_mutations: int) -> None:
        keys = [Key("Thing", str(number)) for number in range(max_mutations)]

        await tables.commit([Insert(key, {"n": 1}) for key in keys])
        found = await tables.lookup(keys)
        await tables.commit([Delete(key) for key in keys])

        assert len(found) == max_mutations
        assert await tables.lookup(keys) == {}

    @pytest.mark.parametrize("exists", [True, False], ids=["updates", "inserts"])
    async def test_one_of_parallel_writes_succeeds(self, tables: Tables, seen: Tables, exists: bool) -> None:
        if exists:
            await tables.commit([Insert(A, {"winner": None})])
        version = await version_of(tables, A) if exists else 0

        outcomes = await asyncio.gather(
            *(
                each.commit([Update(A, {"winner": n}, version) if exists else Insert(A, {"winner": n})])
                for n, each in enumerate([tables, seen] * 3)
            ),
            return_exceptions=True,
        )

        winners = [n for n, outcome in enumerate(outcomes) if outcome is None]
        assert len(winners) == 1
        assert {type(outcome) for outcome in outcomes} == {type(None), Contention}
        assert await entity_of(seen, A) == {"winner": winners[0]}

    async def test_unstorable_entity_is_poison(self, tables: Tables, max_entity_bytes: int | None) -> None:
        """As Unavailable it would pause all events instead of dead-lettering the one at fault."""
        if max_entity_bytes is None:
            pytest.skip("entities of any size can be stored")

        with pytest.raises(Poison):
            await tables.commit([Insert(A, {"value": b"x" * max_entity_bytes}), Insert(B, {"n": 1})])

        assert await tables.lookup([A, B]) == {}

    @pytest.mark.parametrize("name", ["", "x" * 1_501, "é" * 751], ids=["empty", "long", "long in UTF-8"])
    async def test_name_that_no_entity_can_have_is_poison(self, tables: Tables, name: str) -> None:
        """As Unavailable, one such event would stop its subscription, and fail what shares its lookup."""
        key = Key("Thing", name)
        await tables.commit([Insert(A, {"n": 1})])

        odd, other = await asyncio.gather(tables.lookup([key]), tables.lookup([A]), return_exceptions=True)
        with pytest.raises(Poison, match="unstorable"):
            await tables.commit([Insert(B, {"n": 1}), Insert(key, {})])

        assert isinstance(odd, Poison)
        assert odd.reason.startswith("unstorable")
        assert isinstance(other, dict)
        assert await tables.lookup([A, B]) == other != {}

    async def test_longest_name_can_be_stored(self, tables: Tables) -> None:
        key = Key("Thing", "é" * 750)

        await tables.commit([Insert(key, {"n": 1})])

        assert await entity_of(tables, key) == {"n": 1}

    async def test_lookup_of_too_many_keys_is_poison(self, tables: Tables) -> None:
        keys = [Key("Thing", str(number)) for number in range(1_001)]

        with pytest.raises(Poison, match="unstorable"):
            await tables.lookup(keys)

        assert await tables.lookup(keys[1:]) == {}
