"""Write skew: what a transaction only reads may change until its commit, unless it writes it unchanged."""

import pytest

from sagakit.errors import FailedPrecondition
from sagakit.store import Changes, Decide, Snapshot
from sagakit.tables import Insert, Key, Tables, Update
from sagakit.testing.tables import ConflictingTables
from tests.support.counter import a_store

SAVINGS, CHECKING = Key("Account", "savings"), Key("Account", "checking")


def withdraw(*rewritten: Key) -> Decide[None]:
    """Withdraw 100 from the savings, if both accounts together have so much."""

    def decide(found: Snapshot) -> Changes[None]:
        savings, checking = found.get(SAVINGS), found.get(CHECKING)
        if savings["balance"] + checking["balance"] < 100:
            raise FailedPrecondition("too-little", "both accounts together have less")
        as_read = {key: found.get(key) for key in rewritten}
        return Changes(None, {**as_read, SAVINGS: {"balance": savings["balance"] - 100}})

    return decide


async def with_rival(tables: Tables) -> ConflictingTables:
    """Return tables in which another process empties the other account before the first commit."""
    await tables.commit([Insert(SAVINGS, {"balance": 50}), Insert(CHECKING, {"balance": 50})])
    version = (await tables.lookup([CHECKING]))[CHECKING].version
    return ConflictingTables(tables, lambda: [Update(CHECKING, {"balance": 0}, version)])


async def total(tables: Tables) -> int:
    rows = await tables.lookup([SAVINGS, CHECKING])
    return sum(row.entity["balance"] for row in rows.values())


async def test_entity_that_is_only_read_may_change_until_the_commit(tables: Tables):
    store = a_store(await with_rival(tables))

    await store.transact([SAVINGS], withdraw(), read_only=[CHECKING])

    assert await total(tables) == -50


async def test_entity_that_is_written_as_it_was_read_has_not_changed(tables: Tables):
    store = a_store(await with_rival(tables))

    with pytest.raises(FailedPrecondition):
        await store.transact([SAVINGS, CHECKING], withdraw(CHECKING))

    assert await total(tables) == 50
