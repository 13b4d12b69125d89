"""The promises of `Store.transact`, over every implementation of `Tables`: atomic, and no lost update."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from sagakit.errors import Contention, OutcomeUnknown, Unavailable
from sagakit.observer import Observer
from sagakit.runtime import Runtime
from sagakit.store import MAX_UNKNOWN_OUTCOMES, Changes, Snapshot
from sagakit.tables import Insert, Key, Tables
from sagakit.testing.clock import impatient
from sagakit.testing.contracts import OpenTables
from sagakit.testing.tables import ConflictingTables, CountedTables, LostResponseTables
from tests.support.counter import (
    COUNTER,
    INBOX_ROW,
    OUTBOX_ROW,
    TOPIC,
    a_store,
    an_event,
    count_in,
    counting,
    entities,
    once,
)


async def test_parallel_increments_by_several_processes_lose_no_update(open_tables: OpenTables):
    """Known mistake: what a write depends on is read outside the transaction that writes it."""
    async with AsyncExitStack() as processes:
        several = [await processes.enter_async_context(open_tables()) for _ in range(3)]
        stores = [a_store(tables) for tables in several for _ in range(2)]

        async def increment(store) -> None:
            for _ in range(4):
                await store.transact([COUNTER], counting())

        await asyncio.gather(*(increment(store) for store in stores))

        assert await count_in(several[0]) == 24


async def test_transactions_of_one_process_queue_up_without_conflicts(tables: Tables):
    counted = CountedTables(tables)
    store = a_store(counted)

    await asyncio.gather(*(store.transact([COUNTER], counting()) for _ in range(20)))

    assert await count_in(tables) == 20
    assert counted.calls == {"lookup": 20, "commit": 20}


async def test_what_was_committed_is_returned(tables: Tables):
    class Annotates(Observer):
        def annotate(self, topic, writes, events):
            return {key: {**entity, "annotated": topic} for key, entity in writes.items()}, events

    changes = await a_store(tables, Runtime(observer=Annotates())).transact([COUNTER], counting())

    assert changes.writes == await entities(tables, COUNTER) == {COUNTER: {"n": 1, "annotated": TOPIC}}


async def test_conflict_is_decided_again_on_fresh_reads(tables: Tables, rival):
    counted = CountedTables(ConflictingTables(tables, rival))
    found = []

    changes = await a_store(counted).transact([COUNTER], counting(each_time=found.append))

    assert found == [5, 105]
    assert changes.result == 106
    assert await count_in(tables) == 106
    assert counted.calls == {"lookup": 2, "commit": 2}


async def test_too_many_conflicts_raise_contention_and_change_nothing(tables: Tables):
    class AlwaysConflicting(CountedTables):
        async def commit(self, mutations) -> None:
            raise Contention("another writer was faster")

    with pytest.raises(Contention):
        await a_store(AlwaysConflicting(tables), impatient()).transact(
            [COUNTER], counting(events=[an_event()])
        )

    assert await entities(tables, COUNTER, OUTBOX_ROW) == {}


async def test_blind_insert_of_an_existing_entity_looks_it_up_next(tables: Tables):
    await tables.commit([Insert(COUNTER, {"n": 7})])
    counted = CountedTables(tables)
    found = []

    changes = await a_store(counted).transact((), counting(each_time=found.append))

    assert found == [0, 7]
    assert changes.result == 8
    assert await count_in(tables) == 8
    assert counted.calls == {"lookup": 1, "commit": 2}


async def test_decision_without_changes_commits_nothing(tables: Tables):
    counted = CountedTables(tables)
    idle = once("e1", lambda _: Changes(3))

    changes = await a_store(counted).transact([COUNTER], idle)

    assert changes.result == 3
    assert counted.calls == {"lookup": 1}
    assert await entities(tables, INBOX_ROW) == {}


async def test_decision_with_events_only_is_committed(tables: Tables):
    changes = await a_store(tables).transact((), lambda _: Changes(None, {}, [an_event()]))

    assert not changes.unchanged
    assert list(await entities(tables, OUTBOX_ROW)) == [OUTBOX_ROW]


@pytest.mark.parametrize("applied", [True, False])
async def test_unknown_outcome_is_retried_and_applied_once(tables: Tables, applied: bool):
    lossy = LostResponseTables(tables, applied=applied)

    changes = await a_store(lossy).transact([COUNTER], once("e1", counting(events=[an_event()])))

    assert changes.result == 1
    assert await count_in(tables) == 1
    assert set(await entities(tables, INBOX_ROW, OUTBOX_ROW)) == {INBOX_ROW, OUTBOX_ROW}


@pytest.mark.parametrize("applied", [True, False])
async def test_unknown_outcome_is_not_retried_without_retry_unknown(tables: Tables, applied: bool):
    counted = CountedTables(LostResponseTables(tables, applied=applied))

    with pytest.raises(OutcomeUnknown):
        await a_store(counted).transact([COUNTER], counting(), retry_unknown=False)

    assert await count_in(tables) == (1 if applied else 0)
    assert counted.calls == {"lookup": 1, "commit": 1}


@pytest.mark.parametrize("applied", [True, False])
async def test_unknown_outcome_of_a_blind_insert_is_looked_up(tables: Tables, applied: bool):
    def create(found: Snapshot) -> Changes[str]:
        there = found.get(COUNTER)
        return Changes("there") if there else Changes("made", {COUNTER: {"n": 1}})

    changes = await a_store(LostResponseTables(tables, applied=applied)).transact((), create)

    assert changes.result == ("there" if applied else "made")
    assert await count_in(tables) == 1


async def test_last_of_the_retries_of_unknown_outcomes_may_succeed(tables: Tables):
    lossy = LostResponseTables(tables, applied=False, count=MAX_UNKNOWN_OUTCOMES)

    changes = await a_store(lossy).transact([COUNTER], once("e1", counting()))

    assert (changes.result, lossy.left) == (1, 0)


async def test_unknown_outcomes_are_retried_a_few_times_only(tables: Tables):
    lossy = LostResponseTables(tables, applied=False, count=1_000)

    with pytest.raises(OutcomeUnknown):
        await a_store(lossy).transact([COUNTER], once("e1", counting()))

    assert lossy.left > 990


@pytest.mark.parametrize(
    ("keys", "calls"),
    [([COUNTER, Key("Counter", "b"), Key("Counter", "c")], {"lookup": 1, "commit": 1}), ([], {"commit": 1})],
)
async def test_transaction_costs_a_call_for_its_reads_and_one_for_its_commit(tables: Tables, keys, calls):
    counted = CountedTables(tables)

    await a_store(counted).transact(keys, once("e1", counting(events=[an_event()])))

    assert counted.calls == calls


async def test_read_costs_one_call(tables: Tables):
    await tables.commit([Insert(COUNTER, {"n": 7})])
    counted = CountedTables(tables)

    found = await a_store(counted).read([COUNTER, Key("Counter", "b")])

    assert found.get(COUNTER) == {"n": 7}
    assert found.get(Key("Counter", "b")) is None
    assert counted.calls == {"lookup": 1}


async def test_unavailable_store_raises_unavailable(tables: Tables):
    class Unreachable(CountedTables):
        async def lookup(self, keys):
            raise Unavailable("gone")

    with pytest.raises(Unavailable):
        await a_store(Unreachable(tables)).transact([COUNTER], counting())

    assert await count_in(tables) == 0


class Failing(CountedTables):
    """Raises an error at each commit after the first; if it is Unavailable, at each lookup, too."""

    def __init__(self, tables: Tables, error: Exception) -> None:
        super().__init__(tables)
        self._error = error

    async def lookup(self, keys):
        if self.calls["commit"] and isinstance(self._error, Unavailable):
            raise self._error
        return await super().lookup(keys)

    async def commit(self, mutations) -> None:
        if self.calls["commit"]:
            raise self._error
        await super().commit(mutations)


@pytest.mark.parametrize("error", [Contention("others were faster"), Unavailable("gone")])
async def test_error_after_an_unknown_outcome_leaves_it_unknown(tables: Tables, error: Exception):
    """Neither error would be true: both mean that nothing was changed."""
    failing = Failing(LostResponseTables(tables, applied=True), error)

    with pytest.raises(OutcomeUnknown):
        await a_store(failing, impatient()).transact([COUNTER], counting())

    assert await count_in(tables) == 1


async def test_outcome_stays_unknown_if_the_transaction_requires_more_keys(tables: Tables):
    more = Key("Counter", "b")

    def decide(found: Snapshot) -> Changes[int]:
        if found.get(COUNTER):
            found.require([more])
        return counting()(found)

    failing = LostResponseTables(Unreadable(tables, more), applied=True)

    with pytest.raises(OutcomeUnknown):
        await a_store(failing, impatient()).transact([COUNTER], decide)


class Unreadable(CountedTables):
    """Raises Unavailable for one key."""

    def __init__(self, tables: Tables, key: Key) -> None:
        super().__init__(tables)
        self._key = key

    async def lookup(self, keys):
        if self._key in keys:
            raise Unavailable("gone")
        return await super().lookup(keys)
