"""The promises of `Inbox.once`, over every implementation of `Tables`: each event is applied once."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from sagakit.errors import FailedPrecondition, Rejected
from sagakit.store import Changes, Snapshot
from sagakit.tables import Insert, Key, Tables
from sagakit.testing.clock import Clock
from sagakit.testing.contracts import OpenTables
from sagakit.testing.tables import ConflictingTables, CountedTables
from tests.support.counter import (
    COUNTER,
    INBOX_ROW,
    OUTBOX_ROW,
    a_store,
    an_event,
    an_inbox,
    count_in,
    counting,
    entities,
    once,
    rejecting,
)


async def test_state_inbox_and_outbox_are_written_in_one_commit(tables: Tables):
    """Known mistake: dedup checked, state changed and eventid recorded in three commits."""
    counted = CountedTables(tables)

    await a_store(counted).transact([COUNTER], once("e1", counting(events=[an_event(time="now")])))

    [mutations] = counted.committed
    assert {mutation.key for mutation in mutations} == {COUNTER, INBOX_ROW, OUTBOX_ROW}
    found = await entities(tables, COUNTER, INBOX_ROW, OUTBOX_ROW)
    assert found[COUNTER] == {"n": 1}
    assert found[INBOX_ROW]["answer"] == 1
    assert found[OUTBOX_ROW]["body"] == b'{"n": 1}'
    assert found[OUTBOX_ROW]["type"] == "counter.Counted"
    assert found[OUTBOX_ROW]["attributes"] == {"time": "now"}


async def test_duplicate_changes_nothing_and_gets_the_first_result(tables: Tables):
    """Known mistake: a duplicate taken for a failure, so that a good order is compensated."""
    await a_store(tables).transact([COUNTER], once("e1", counting()))
    await a_store(tables).transact([COUNTER], once("other", counting()))

    counted = CountedTables(tables)

    again = await a_store(counted).transact([COUNTER], once("e1", counting(events=[an_event()])))

    assert (again.result, again.unchanged) == (1, True)
    assert counted.calls == {"lookup": 2, "commit": 1}
    assert await count_in(tables) == 2
    assert await entities(tables, OUTBOX_ROW) == {}


async def test_duplicate_that_would_be_rejected_now_gets_the_first_result(tables: Tables):
    await a_store(tables).transact([COUNTER], once("e1", counting()))

    again = await a_store(tables).transact([COUNTER, an_inbox().key("e1")], once("e1", rejecting))

    assert again.result == 1


async def test_concurrent_duplicates_are_applied_once(open_tables: OpenTables):
    """Known mistake: dedup by query on an auto-id entity, where two copies race through."""
    async with open_tables() as here, open_tables() as there:
        stores = [a_store(tables) for tables in (here, there) for _ in range(3)]

        outcomes = await asyncio.gather(
            *(store.transact([COUNTER], once("e1", counting())) for store in stores)
        )

        assert await count_in(here) == 1
        assert {changes.result for changes in outcomes} == {1}
        assert sum(not changes.unchanged for changes in outcomes) == 1


async def test_concurrent_duplicates_that_write_different_entities_are_applied_once(open_tables: OpenTables):
    """Only the inbox row reveals them then."""
    keys = [Key("Counter", str(number)) for number in range(4)]
    async with open_tables() as here, open_tables() as there:
        steps = [
            a_store(tables).transact([key], once("e1", counting(key)))
            for key, tables in zip(keys, (here, there) * 2, strict=True)
        ]

        await asyncio.gather(*steps)

        assert sum([await count_in(here, key) for key in keys]) == 1


async def test_conflict_on_the_inbox_row_writes_nothing_else(tables: Tables):
    already = [Insert(INBOX_ROW, {"answer": 9})]
    raced = ConflictingTables(tables, lambda: already)

    changes = await a_store(raced).transact([COUNTER], once("e1", counting(events=[an_event()])))

    assert changes.result == 9
    assert await entities(tables, COUNTER, OUTBOX_ROW) == {}


async def test_conflict_can_end_in_a_rejection_that_writes_no_row(tables: Tables, rival):
    def unless_it_was_raised(found: Snapshot) -> Changes[int]:
        if found.get(COUNTER)["n"] > 100:
            raise FailedPrecondition("too-many", "too many")
        return counting(events=[an_event()])(found)

    with pytest.raises(FailedPrecondition):
        await a_store(ConflictingTables(tables, rival)).transact([COUNTER], once("e1", unless_it_was_raised))

    assert await count_in(tables) == 105
    assert await entities(tables, INBOX_ROW, OUTBOX_ROW) == {}


async def test_rejection_writes_nothing_so_that_a_retry_is_no_duplicate(tables: Tables):
    """Known mistake: the eventid recorded before the handler ran, so that the retry does nothing."""
    with pytest.raises(Rejected):
        await a_store(tables).transact([COUNTER], once("e1", rejecting))

    changes = await a_store(tables).transact([COUNTER], once("e1", counting()))

    assert changes.result == 1
    assert await count_in(tables) == 1


async def test_inbox_rows_expire(tables: Tables):
    """Known mistake: tables of outbox and dedup rows that only grow."""
    clock = Clock()

    await a_store(tables).transact([COUNTER], once("e1", counting(), an_inbox(clock.runtime())))

    row = (await entities(tables, INBOX_ROW))[INBOX_ROW]
    assert row["expires_at"] == datetime.fromtimestamp(clock.now(), UTC) + timedelta(days=60)
