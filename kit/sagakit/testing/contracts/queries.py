"""The promises of `Tables` about queries, and the whole contract."""

from datetime import UTC, datetime, timedelta

import pytest

from sagakit.errors import Contention
from sagakit.tables import DUE, EXPIRES_AT, MAX_MUTATIONS, Delete, Insert, Key, Tables, Update
from sagakit.testing.contracts.entities import A, B, EntitiesContract, version_of


class TablesContract(EntitiesContract):
    """Subclass it, with a fixture `open_tables` that returns an `OpenTables`."""

    async def test_due_returns_a_kind_and_range_in_order(self, tables: Tables) -> None:
        dues = {"e": "3", "d": "1", "c": "2", "b": "4", "a": "2"}
        await tables.commit([Insert(Key("Thing", name), {DUE: due}) for name, due in dues.items()])
        await tables.commit([Insert(Key("Other", "x"), {DUE: "2"}), Insert(Key("Thing", "never"), {"n": 1})])
        await tables.commit([Insert(Key("Thing", "none"), {DUE: None})])

        everything = await tables.due("Thing", "0", "9", 100)
        some = await tables.due("Thing", "2", "4", 100)
        first = await tables.due("Thing", "0", "9", 2)
        nothing = await tables.due("Nothing", "0", "9", 100)

        assert [row.entity[DUE] for _, row in everything] == ["1", "2", "2", "3", "4"]
        assert {key.name for key, _ in everything} == set(dues)
        assert {(key.name, row.entity[DUE]) for key, row in some} == {("a", "2"), ("c", "2"), ("e", "3")}
        assert [row.entity[DUE] for _, row in first] == ["1", "2"]
        assert nothing == []

    async def test_due_entity_can_be_updated_in_its_version(self, tables: Tables, seen: Tables) -> None:
        await tables.commit([Insert(A, {DUE: "1"})])
        [(key, row)] = await tables.due("Thing", "0", "9", 10)

        await tables.commit([Update(key, {DUE: "5"}, row.version)])

        with pytest.raises(Contention):
            await seen.commit([Update(key, {DUE: "6"}, row.version)])
        assert [found.entity for _, found in await seen.due("Thing", "0", "9", 10)] == [{DUE: "5"}]

    async def test_deleted_entity_is_not_due(self, tables: Tables) -> None:
        await tables.commit([Insert(A, {DUE: "1"}), Insert(B, {DUE: "2"})])

        await tables.commit([Delete(A)])

        assert [key for key, _ in await tables.due("Thing", "0", "9", 10)] == [B]

    async def test_pages_return_each_entity_of_a_kind_once(self, tables: Tables) -> None:
        names = [f"{n:02}" for n in range(57)] + ["B", "a", "a:1", "a:2", "~", "__reserved__"]
        for name in names:
            await tables.commit([Insert(Key("Thing", name), {"name": name})])
        await tables.commit([Insert(Key("Other", "03x"), {})])

        read, after = [], ""
        while page := await tables.page("Thing", after, 10):
            assert len(page) <= 10
            read += [(key, row.entity["name"]) for key, row in page]
            after = page[-1][0].name

        assert sorted(read) == sorted((Key("Thing", name), name) for name in names)
        assert await tables.page("Nothing", "", 10) == []

    async def test_pages_are_in_the_order_of_names(self, tables: Tables) -> None:
        names = ["~", "a:1", "Z", "a", "10", "9", "é"]
        await tables.commit([Insert(Key("Thing", name), {}) for name in names])

        page = await tables.page("Thing", "9", 4)

        assert [key.name for key, _ in page] == ["Z", "a", "a:1", "~"]
        (found,) = await tables.page("Thing", "~", 4)
        assert found[0].name == "é"
        row = (await tables.lookup([found[0]]))[found[0]]
        assert found[1] == row

    async def test_page_has_the_requested_length(self, tables: Tables) -> None:
        """Datastore returns query results in batches of at most 300."""
        names = [f"{number:03}" for number in range(350)]
        for start in range(0, len(names), MAX_MUTATIONS):
            await tables.commit(
                [Insert(Key("Thing", name), {DUE: "5"}) for name in names[start : start + MAX_MUTATIONS]]
            )

        page = await tables.page("Thing", "004", 330)
        due = await tables.due("Thing", "0", "9", 330)
        everything = await tables.due("Thing", "0", "9", 400)

        assert [key.name for key, _ in page] == names[5:335]
        assert len({key for key, _ in due}) == len(due) == 330
        assert sorted(key.name for key, _ in everything) == names

    async def test_expired_entities_are_deleted_unless_the_database_does_so(self, tables: Tables) -> None:
        when = datetime(2026, 3, 1, tzinfo=UTC)
        for number in range(5):
            await tables.commit(
                [Insert(Key("Thing", str(number)), {EXPIRES_AT: when + timedelta(days=number)})]
            )
        await tables.commit([Insert(A, {}), Insert(B, {EXPIRES_AT: when})])
        await tables.commit([Update(B, {"kept": True}, await version_of(tables, B))])

        now = (when + timedelta(days=2, hours=1)).timestamp()
        removed = [await tables.expire(now, 2) for _ in range(3)]

        left = [key.name for key, _ in await tables.page("Thing", "", 10)]
        assert (removed, left) in [
            ([2, 1, 0], ["3", "4", "a", "b"]),
            ([0] * 3, ["0", "1", "2", "3", "4", "a", "b"]),
        ]
