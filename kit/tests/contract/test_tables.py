"""What `Tables` promises, over every implementation of it."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest

from sagakit.backends.embedded.database import Database
from sagakit.backends.embedded.tables import EmbeddedTables
from sagakit.backends.gcp.datastore import open_datastore
from sagakit.errors import Contention, OutcomeUnknown, Poison, Unavailable
from sagakit.tables import DUE, EXPIRES_AT, MAX_MUTATIONS, Delete, Entity, Insert, Key, Tables, Update

A = Key("Thing", "a")
B = Key("Thing", "b")
C = Key("Thing", "c")

BERLIN = timezone(timedelta(hours=2))


async def entity_of(tables: Tables, key: Key) -> Entity | None:
    row = (await tables.lookup([key])).get(key)
    return None if row is None else row.entity


async def version_of(tables: Tables, key: Key) -> int:
    return (await tables.lookup([key]))[key].version


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
async def test_a_value_comes_back_as_it_was_stored(tables: Tables, value: object):
    await tables.commit([Insert(A, {"value": value})])

    found = await entity_of(tables, A)

    assert found == {"value": value}
    assert type(found["value"]) is type(value)


async def test_absent_keys_are_left_out(tables: Tables):
    await tables.commit([Insert(A, {"is": "a"}), Insert(C, {"is": "c"})])

    found = await tables.lookup([A, B, C])

    assert {key: row.entity for key, row in found.items()} == {A: {"is": "a"}, C: {"is": "c"}}


async def test_a_key_asked_for_twice_is_found_once(tables: Tables):
    await tables.commit([Insert(A, {"is": "a"})])

    found = await tables.lookup([A, B, A, B])

    assert list(found) == [A]


async def test_kinds_keep_the_same_name_apart(tables: Tables):
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
async def test_whatever_an_id_may_be_is_a_name(tables: Tables, name: str):
    key = Key("Thing", name)

    await tables.commit([Insert(key, {"is": name, DUE: "5"})])

    assert await entity_of(tables, key) == {"is": name, DUE: "5"}
    assert [found for found, _ in await tables.due("Thing", "0", "9", 10)] == [key]


async def test_names_that_look_alike_are_different(tables: Tables):
    names = ["__a__", "~__a__", "~~__a__", "a", "A", "ä", "a\u0308"]

    await tables.commit([Insert(Key("Thing", name), {"is": name}) for name in names])

    found = await tables.lookup([Key("Thing", name) for name in names])
    assert {key.name: row.entity["is"] for key, row in found.items()} == {name: name for name in names}


async def test_an_insert_that_meets_an_entity_applies_nothing_of_the_commit(tables: Tables, seen: Tables):
    await tables.commit([Insert(A, {"n": 1})])

    with pytest.raises(Contention):
        await tables.commit([Insert(B, {"n": 2}), Insert(A, {"n": 2}), Insert(C, {"n": 2})])

    assert {key: row.entity for key, row in (await seen.lookup([A, B, C])).items()} == {A: {"n": 1}}


async def test_an_update_of_a_stale_version_applies_nothing_of_the_commit(tables: Tables, seen: Tables):
    await tables.commit([Insert(A, {"n": 1}), Insert(C, {"n": 1})])
    stale = await version_of(tables, A)
    await tables.commit([Update(A, {"n": 2}, stale)])

    with pytest.raises(Contention):
        await tables.commit([Insert(B, {"n": 3}), Update(A, {"n": 3}, stale), Delete(C)])

    assert {key: row.entity for key, row in (await seen.lookup([A, B, C])).items()} == {
        A: {"n": 2},
        C: {"n": 1},
    }


async def test_an_update_of_a_missing_entity_is_contention(tables: Tables, seen: Tables):
    await tables.commit([Insert(A, {"n": 1})])
    version = await version_of(tables, A)
    await tables.commit([Delete(A)])

    with pytest.raises(Contention):
        await tables.commit([Update(A, {"n": 2}, version), Insert(B, {"n": 2})])

    assert await seen.lookup([A, B]) == {}


async def test_the_version_changes_with_every_change(tables: Tables):
    """Of the entity: Datastore takes writing what is there for no change."""
    await tables.commit([Insert(A, {"n": 0}), Insert(B, {"n": 0})])
    versions = [await version_of(tables, A)]
    untouched = await version_of(tables, B)

    for n in (1, 0, 1, 0):
        await tables.commit([Update(A, {"n": n}, versions[-1])])
        versions.append(await version_of(tables, A))

    assert len(set(versions)) == len(versions)
    assert await version_of(tables, B) == untouched


async def test_an_entity_made_again_is_not_taken_for_its_predecessor(tables: Tables):
    await tables.commit([Insert(A, {"n": 1})])
    before = await version_of(tables, A)
    await tables.commit([Delete(A)])
    await tables.commit([Insert(A, {"n": 1})])

    with pytest.raises(Contention):
        await tables.commit([Update(A, {"n": 2}, before)])

    assert await entity_of(tables, A) == {"n": 1}


async def test_an_update_replaces_all_properties(tables: Tables):
    await tables.commit([Insert(A, {"old": 1, DUE: "5"})])

    await tables.commit([Update(A, {"new": 2}, await version_of(tables, A))])

    assert await entity_of(tables, A) == {"new": 2}
    assert await tables.due("Thing", "0", "9", 10) == []


async def test_deleting_what_is_not_there_is_fine(tables: Tables):
    await tables.commit([Insert(A, {"n": 1})])

    await tables.commit([Delete(B), Delete(A), Delete(C)])
    await tables.commit([Delete(A)])

    assert await tables.lookup([A, B, C]) == {}


async def test_the_same_entity_may_be_deleted_twice_in_a_commit(tables: Tables):
    await tables.commit([Insert(A, {"n": 1})])

    await tables.commit([Delete(A), Delete(A)])

    assert await tables.lookup([A]) == {}


async def test_a_commit_takes_as_many_mutations_as_it_says(tables: Tables):
    keys = [Key("Thing", str(number)) for number in range(MAX_MUTATIONS)]

    await tables.commit([Insert(key, {"n": 1}) for key in keys])
    found = await tables.lookup(keys)
    await tables.commit([Delete(key) for key in keys])

    assert len(found) == MAX_MUTATIONS
    assert await tables.lookup(keys) == {}


async def test_a_big_order_fits_into_one_commit(tables: Tables, request: pytest.FixtureRequest):
    if "datastore" in request.node.callspec.id:
        pytest.skip("the Datastore emulator takes 25 entities a transaction; production and the others 500")
    keys = [Key("Thing", str(number)) for number in range(500)]

    await tables.commit([Insert(key, {"n": 1}) for key in keys])

    assert len(await tables.lookup(keys)) == 500


async def test_of_parallel_updates_of_one_version_one_succeeds(tables: Tables, seen: Tables):
    await tables.commit([Insert(A, {"winner": None})])
    version = await version_of(tables, A)

    outcomes = await asyncio.gather(
        *(each.commit([Update(A, {"winner": n}, version)]) for n, each in enumerate([tables, seen] * 3)),
        return_exceptions=True,
    )

    winners = [n for n, outcome in enumerate(outcomes) if outcome is None]
    assert len(winners) == 1
    assert {type(outcome) for outcome in outcomes} == {type(None), Contention}
    assert await entity_of(seen, A) == {"winner": winners[0]}


async def test_of_parallel_inserts_of_one_key_one_succeeds(tables: Tables, seen: Tables):
    outcomes = await asyncio.gather(
        *(each.commit([Insert(A, {"winner": n})]) for n, each in enumerate([tables, seen] * 3)),
        return_exceptions=True,
    )

    winners = [n for n, outcome in enumerate(outcomes) if outcome is None]
    assert len(winners) == 1
    assert {type(outcome) for outcome in outcomes} == {type(None), Contention}
    assert await entity_of(seen, A) == {"winner": winners[0]}


async def test_due_entities_come_by_kind_range_and_order(tables: Tables):
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


async def test_what_is_due_can_be_claimed_in_the_version_it_was_found_in(tables: Tables, seen: Tables):
    await tables.commit([Insert(A, {DUE: "1"})])
    [(key, row)] = await tables.due("Thing", "0", "9", 10)

    await tables.commit([Update(key, {DUE: "5"}, row.version)])

    with pytest.raises(Contention):
        await seen.commit([Update(key, {DUE: "6"}, row.version)])
    assert [found.entity for _, found in await seen.due("Thing", "0", "9", 10)] == [{DUE: "5"}]


async def test_a_deleted_entity_is_no_longer_due(tables: Tables):
    await tables.commit([Insert(A, {DUE: "1"}), Insert(B, {DUE: "2"})])

    await tables.commit([Delete(A)])

    assert [key for key, _ in await tables.due("Thing", "0", "9", 10)] == [B]


async def test_what_can_never_be_stored_is_poison(tables: Tables, request: pytest.FixtureRequest):
    """Else an event that wants it would be taken for a store that is away, and pause everybody's events."""
    if "memory" in request.node.callspec.id:
        pytest.skip("memory takes everything")

    with pytest.raises(Poison):
        await tables.commit([Insert(A, {"value": b"x" * 1_100_000}), Insert(B, {"n": 1})])

    assert await tables.lookup([A, B]) == {}


async def test_embedded_tables_that_are_away_say_so(tmp_path):
    database = Database(tmp_path / "no-such-folder" / "data.sqlite3")
    tables = EmbeddedTables(database)

    with pytest.raises(Unavailable):
        await tables.lookup([A])
    with pytest.raises(Unavailable):
        await tables.due("Thing", "0", "9", 10)
    with pytest.raises(Unavailable):
        await tables.commit([Insert(A, {})])

    await database.close()


async def test_embedded_tables_answer_again_when_they_are_back(tmp_path):
    folder = tmp_path / "later"
    database = Database(folder / "data.sqlite3")
    tables = EmbeddedTables(database)
    with pytest.raises(Unavailable):
        await tables.commit([Insert(A, {"n": 1})])

    folder.mkdir()
    await tables.commit([Insert(A, {"n": 2})])

    assert await entity_of(tables, A) == {"n": 2}
    await database.close()


async def test_a_datastore_that_is_away_says_so():
    async with open_datastore("project", "", "127.0.0.1:1") as tables:
        with pytest.raises(Unavailable):
            await tables.lookup([A])
        with pytest.raises(Unavailable):
            await tables.due("Thing", "0", "9", 10)
        with pytest.raises(OutcomeUnknown):
            await tables.commit([Insert(A, {})])


async def test_a_kind_is_read_page_by_page_each_entity_once(tables: Tables):
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


async def test_pages_come_in_the_order_of_names(tables: Tables):
    names = ["~", "a:1", "Z", "a", "10", "9", "é"]
    await tables.commit([Insert(Key("Thing", name), {}) for name in names])

    page = await tables.page("Thing", "9", 4)

    assert [key.name for key, _ in page] == ["Z", "a", "a:1", "~"]
    (found,) = await tables.page("Thing", "~", 4)
    assert found[0].name == "é"
    row = (await tables.lookup([found[0]]))[found[0]]
    assert found[1] == row


async def test_a_page_is_as_long_as_it_was_asked_to_be(tables: Tables):
    """Datastore answers a query in batches of at most 300."""
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


async def test_what_has_expired_is_removed_unless_the_database_does_so_itself(tables: Tables):
    when = datetime(2026, 3, 1, tzinfo=UTC)
    for number in range(5):
        await tables.commit([Insert(Key("Thing", str(number)), {EXPIRES_AT: when + timedelta(days=number)})])
    await tables.commit([Insert(A, {}), Insert(B, {EXPIRES_AT: when})])
    await tables.commit([Update(B, {"kept": True}, await version_of(tables, B))])

    now = (when + timedelta(days=2, hours=1)).timestamp()
    removed = [await tables.expire(now, 2) for _ in range(3)]

    left = [key.name for key, _ in await tables.page("Thing", "", 10)]
    assert (removed, left) in [
        ([2, 1, 0], ["3", "4", "a", "b"]),
        ([0] * 3, ["0", "1", "2", "3", "4", "a", "b"]),
    ]
