"""Transactions and views that require more keys while they run, over every implementation of `Tables`."""

import asyncio

import pytest

from sagakit.errors import Contention
from sagakit.store import MAX_KEY_ROUNDS, Changes, Decide, Snapshot
from sagakit.tables import Insert, Key, Tables, Update
from sagakit.testing.tables import ConflictingTables, CountedTables
from tests.support.counter import (
    COUNTER,
    INBOX_ROW,
    OUTBOX_ROW,
    a_store,
    an_event,
    count_in,
    counting,
    entities,
    once,
)

OTHER = Key("Counter", "other")


async def test_required_keys_restart_the_transaction(tables: Tables):
    await tables.commit([Insert(COUNTER, {"n": 1}), Insert(OTHER, {"n": 10})])
    counted = CountedTables(tables)

    def decide(found: Snapshot) -> Changes[int]:
        found.require([OTHER])
        total = found.get(COUNTER)["n"] + found.get(OTHER)["n"]
        return Changes(total, {OTHER: {"n": total}})

    changes = await a_store(counted).transact([COUNTER], once("e1", decide))

    assert changes.result == await count_in(tables, OTHER) == 11
    assert counted.calls == {"lookup": 2, "commit": 1}


async def test_restarted_transaction_decides_on_fresh_reads(tables: Tables):
    """The rows read before may have changed since."""
    await tables.commit([Insert(COUNTER, {"n": 1}), Insert(OTHER, {"n": 10})])

    class ChangedBeforeTheSecondLookup(CountedTables):
        async def lookup(self, keys):
            if self.calls["lookup"] == 1:
                row = (await tables.lookup([COUNTER]))[COUNTER]
                await tables.commit([Update(COUNTER, {"n": 2}, row.version)])
            return await super().lookup(keys)

    counted = ChangedBeforeTheSecondLookup(tables)

    changes = await a_store(counted).transact([COUNTER], adding(COUNTER, OTHER))

    assert changes.result == 12
    assert counted.calls == {"lookup": 2, "commit": 1}


def adding(*keys: Key) -> Decide[int]:
    """Require `keys`, and write the sum of their numbers to the last of them."""

    def decide(found: Snapshot) -> Changes[int]:
        found.require(keys)
        total = sum((found.get(key) or {"n": 0})["n"] for key in keys)
        return Changes(total, {keys[-1]: {"n": total}})

    return decide


async def test_read_only_keys_count_as_looked_up(tables: Tables):
    await tables.commit([Insert(COUNTER, {"n": 1})])
    counted = CountedTables(tables)

    changes = await a_store(counted).transact([OTHER], adding(COUNTER, OTHER), read_only=[COUNTER])

    assert changes.result == 1
    assert counted.calls == {"lookup": 1, "commit": 1}


async def test_transactions_queue_up_for_required_keys(tables: Tables):
    counted = CountedTables(tables)
    store = a_store(counted)
    keys = [Key("Counter", str(number)) for number in range(5)]
    await tables.commit([Insert(key, {"n": 1}) for key in keys] + [Insert(OTHER, {"n": 0})])

    await asyncio.gather(*(store.transact([key], adding(key, OTHER)) for key in keys))

    assert await count_in(tables, OTHER) == 5
    assert counted.calls == {"lookup": 2 * 5, "commit": 5}


async def test_writing_a_read_only_key_loses_no_update(tables: Tables):
    await tables.commit([Insert(COUNTER, {"n": 0})])
    store = a_store(tables)

    await asyncio.gather(*(store.transact((), counting(), read_only=[COUNTER]) for _ in range(5)))

    assert await count_in(tables) == 5


async def test_keys_required_after_a_conflict_are_applied_once(tables: Tables, rival):
    """The conflict changes what was read, so that the second attempt requires more than the first."""

    def decide(found: Snapshot) -> Changes[int]:
        if found.get(COUNTER)["n"] > 100:
            found.require([OTHER])
        return counting(events=[an_event()])(found)

    counted = CountedTables(ConflictingTables(tables, rival))

    changes = await a_store(counted).transact([COUNTER], once("e1", decide))

    assert changes.result == await count_in(tables) == 106
    assert len(counted.committed) == 1
    assert set(await entities(tables, INBOX_ROW, OUTBOX_ROW)) == {INBOX_ROW, OUTBOX_ROW}


async def test_duplicate_that_requires_keys_is_still_a_duplicate(tables: Tables):
    await a_store(tables).transact([COUNTER], once("e1", counting()))

    again = await a_store(tables).transact((), once("e1", adding(COUNTER, OTHER)))

    assert (again.result, again.unchanged) == (1, True)
    assert await entities(tables, OTHER) == {}


async def test_view_reads_all_keys_at_one_moment(tables: Tables):
    """All keys are looked up again together with the required ones, not one before and one after a change."""
    await tables.commit([Insert(COUNTER, {"n": 5}), Insert(OTHER, {"n": 5})])

    class MovedBeforeTheSecondLookup(CountedTables):
        async def lookup(self, keys):
            if self.calls["lookup"] == 1:
                found = await tables.lookup([COUNTER, OTHER])
                moved = {COUNTER: {"n": 3}, OTHER: {"n": 7}}
                await tables.commit([Update(key, moved[key], found[key].version) for key in moved])
            return await super().lookup(keys)

    def compute(found: Snapshot) -> int:
        found.require([OTHER])
        return found.get(COUNTER)["n"] + found.get(OTHER)["n"]

    assert await a_store(MovedBeforeTheSecondLookup(tables)).view([COUNTER], compute) == 10


async def test_absent_keys_are_not_looked_up_again(tables: Tables):
    counted = CountedTables(tables)

    def compute(found: Snapshot) -> int | None:
        found.require([COUNTER, OTHER])
        return found.get(OTHER)

    assert await a_store(counted).view([COUNTER], compute) is None
    assert counted.calls == {"lookup": 2}


async def test_endless_requirements_raise_contention(tables: Tables):
    decided: list[int] = []

    def endless(found: Snapshot) -> Changes[int]:
        decided.append(1)
        found.require([Key("Counter", str(number)) for number in range(len(decided))])
        return Changes(0)

    with pytest.raises(Contention):
        await a_store(tables).transact((), endless)
    with pytest.raises(Contention):
        await a_store(tables).view((), endless)
    assert len(decided) == 2 * MAX_KEY_ROUNDS


async def test_transactions_queue_up_for_keys_they_write_only(tables: Tables):
    """For example transactions that read one configuration, and write different entities."""
    at_once, most = 0, 0

    class Watched(CountedTables):
        async def commit(self, mutations):
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.05)
            at_once -= 1
            await super().commit(mutations)

    store = a_store(Watched(tables))
    keys = [Key("Counter", str(number)) for number in range(3)]

    await asyncio.gather(*(store.transact([key], counting(key), read_only=[COUNTER]) for key in keys))
    reading = most
    most = 0
    await asyncio.gather(*(store.transact([keys[0]], counting(keys[0])) for _ in range(3)))

    assert (reading, most) == (3, 1)
    assert await count_in(tables, keys[0]) == 4
