"""Calls of the database that share one: what each caller gets, and what is never shared."""

import asyncio

import pytest

from sagakit.batching import BatchedTables, BatchLimits
from sagakit.errors import Contention, OutcomeUnknown, Poison, Unavailable
from sagakit.observer import Observer
from sagakit.shared_calls import MAX_SECONDS, PATIENCE_SECONDS
from sagakit.tables import Delete, Insert, Row, Update
from sagakit.testing import MemoryTables
from tests.support.slow_tables import ONE, A, B, C, D, SlowTables, batched, ready, started


class Recorded(Observer):
    def __init__(self) -> None:
        self.keys: list[int] = []
        self.transactions: list[int] = []

    def looked_up(self, keys: int) -> None:
        self.keys.append(keys)

    def sent_commit(self, transactions: int) -> None:
        self.transactions.append(transactions)


@pytest.fixture
def slow() -> SlowTables:
    return SlowTables()


async def test_lone_call_is_made_at_once_and_calls_meanwhile_share_the_next(slow: SlowTables):
    slow.rows = {A: Row(ONE, 1), B: Row(ONE, 2)}
    tables = batched(slow)

    calls = await started(*(tables.lookup(keys) for keys in ([A], [A, B], [B, C], [])))
    assert slow.lookups == [[A]]
    await slow.release(times=2)

    assert slow.lookups == [[A], [A, B, C]]
    assert [sorted(await call) for call in calls] == [[A], [A, B], [B], []]


async def test_calls_that_become_ready_together_share_one(slow: SlowTables):
    tables = batched(slow)

    lookups = [asyncio.create_task(tables.lookup([key])) for key in (A, B)]
    commits = [asyncio.create_task(tables.commit([Insert(key, ONE)])) for key in (C, D)]
    await ready()

    assert slow.lookups == [[A, B]]
    assert slow.commits == [[C, D]]
    await slow.release()
    await asyncio.gather(*lookups, *commits)


async def test_deletes_wait_for_the_next_commit(slow: SlowTables):
    tables = batched(slow)

    (delete,) = await started(tables.commit([Delete(A)]))
    assert slow.commits == []
    (insert,) = await started(tables.commit([Insert(B, ONE)]))
    await slow.release()

    assert slow.commits == [[B, A]]
    await asyncio.gather(delete, insert)


async def test_deletes_that_no_commit_carries_are_committed_alone(slow: SlowTables):
    tables = batched(slow)
    (delete,) = await started(tables.commit([Delete(A)]))

    await asyncio.sleep(PATIENCE_SECONDS)
    await slow.release()
    await delete
    (insert,) = await started(tables.commit([Insert(B, ONE)]))
    await slow.release()

    assert slow.commits == [[A], [B]]
    await insert


async def test_deletes_beside_writes_do_not_wait(slow: SlowTables):
    tables = batched(slow)

    (both,) = await started(tables.commit([Insert(A, ONE), Delete(B)]))

    assert slow.commits == [[A, B]]
    await slow.release()
    await both


async def test_lookup_joins_no_call_that_was_sent_before(slow: SlowTables):
    tables = batched(slow)
    (before,) = await started(tables.lookup([A]))
    await MemoryTables.commit(slow, [Insert(A, ONE)])

    (after,) = await started(tables.lookup([A]))
    await slow.release(times=2)

    assert len(slow.lookups) == 2
    assert (await after)[A].entity == ONE
    await before


async def test_transactions_without_a_common_key_share_a_commit(slow: SlowTables):
    tables = batched(slow)

    writes = [[Insert(A, ONE)], [Insert(B, ONE)], [Insert(C, ONE)], [Update(B, ONE, 9)], [Insert(D, ONE)]]
    calls = await started(*(tables.commit(each) for each in writes))
    await slow.release(times=3)

    assert slow.commits == [[A], [B, C, D], [B]]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [type(None)] * 3 + [Contention, type(None)]


async def test_conflict_of_one_fails_no_other(slow: SlowTables):
    slow.rows = {B: Row(ONE, 1)}
    tables = batched(slow)

    first, *others = await started(*(tables.commit([Insert(key, ONE)]) for key in (A, B, C)))
    await slow.release(times=3)

    assert slow.commits == [[A], [B, C], [B], [C]]
    await first
    with pytest.raises(Contention):
        await others[0]
    await others[1]
    assert {A, B, C} == slow.rows.keys()


async def test_commit_whose_caller_has_ended_is_not_repeated(slow: SlowTables):
    slow.rows = {B: Row(ONE, 1)}
    tables = batched(slow)
    first, conflicting, ended = await started(*(tables.commit([Insert(key, ONE)]) for key in (A, B, C)))
    await slow.release()

    ended.cancel()
    await slow.release(times=2)

    assert slow.commits == [[A], [B, C], [B]]
    await first
    with pytest.raises(Contention):
        await conflicting


async def test_deletes_that_have_waited_long_enough_are_next(slow: SlowTables):
    tables = batched(slow, transactions=1)
    calls = await started(
        tables.commit([Insert(A, ONE)]), tables.commit([Delete(B)]), tables.commit([Insert(C, ONE)])
    )

    await asyncio.sleep(PATIENCE_SECONDS)
    await slow.release(times=3)

    assert slow.commits == [[A], [B], [C]]
    await asyncio.gather(*calls)


@pytest.mark.parametrize("error", [Poison("unstorable: too big"), TypeError("set cannot be stored")])
async def test_unstorable_entity_fails_no_other(slow: SlowTables, error: Exception):
    tables = batched(slow)
    calls = await started(*(tables.commit([Insert(key, ONE)]) for key in (A, B, C)))
    await slow.release()

    # The commit of two, and then that of the one that it is for.
    slow.failures = [error, error]
    await slow.release(times=2)

    await calls[0]
    with pytest.raises(type(error)):
        await calls[1]
    await calls[2]
    assert C in slow.rows


async def test_unknown_outcome_is_unknown_for_each_and_nothing_is_repeated(slow: SlowTables):
    tables = batched(slow)
    calls = await started(*(tables.commit([Insert(key, ONE)]) for key in (A, B, C)))
    await slow.release()

    slow.failures = [OutcomeUnknown("the connection broke")]
    await slow.release()

    async with asyncio.timeout(MAX_SECONDS / 2):
        errors = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(error) for error in errors] == [type(None), OutcomeUnknown, OutcomeUnknown]
    assert errors[1] is not errors[2]
    assert slow.commits == [[A], [B, C]]


async def test_unavailable_database_fails_all_that_shared_the_call(slow: SlowTables):
    tables = batched(slow)
    calls = await started(*(tables.lookup([key]) for key in (A, B, C)))
    slow.unavailable = True

    await slow.release(times=2)

    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(error) for error in errors] == [Unavailable] * 3
    assert slow.lookups == [[A], [B, C]]


async def test_cancelled_caller_disturbs_no_other(slow: SlowTables):
    tables = batched(slow)
    alone, waiting, shared, other = await started(
        *(tables.commit([Insert(key, ONE)]) for key in (A, B, C, D))
    )

    waiting.cancel()
    await slow.release()
    shared.cancel()
    await slow.release()

    await alone
    await other
    assert slow.commits == [[A], [C, D]]
    assert {A, C, D} == slow.rows.keys()
    for each in (waiting, shared):
        with pytest.raises(asyncio.CancelledError):
            await each


async def test_cancelled_first_caller_lets_the_next_call_go(slow: SlowTables):
    tables = batched(slow)
    first, second = await started(tables.lookup([A]), tables.lookup([B]))

    first.cancel()
    await slow.release()

    assert await second == {}


async def test_closing_ends_calls_in_flight(slow: SlowTables):
    async with batched(slow) as tables:
        first, second = await started(tables.commit([Insert(A, ONE)]), tables.commit([Insert(B, ONE)]))
        await slow.release()

    await first
    with pytest.raises(OutcomeUnknown):
        await second


async def test_closing_ends_calls_that_wait_for_those_in_flight(slow: SlowTables):
    async with batched(slow) as tables:
        first, *others = await started(
            tables.commit([Insert(A, ONE)]),
            tables.commit([Insert(B, ONE)]),
            tables.commit([Update(B, ONE, 1)]),
        )
        await slow.release()

    await first
    async with asyncio.timeout(MAX_SECONDS / 2):
        ended = await asyncio.gather(*others, return_exceptions=True)
    assert [type(each) for each in ended] == [OutcomeUnknown, OutcomeUnknown]


async def test_calls_are_counted_with_what_they_carry(slow: SlowTables):
    recorded = Recorded()
    tables = BatchedTables(slow, BatchLimits(), recorded)

    calls = await started(*(tables.lookup(keys) for keys in ([A], [B], [B, C])))
    calls += await started(*(tables.commit([Insert(key, ONE)]) for key in (A, B, C)))
    await slow.release(times=2)

    assert recorded.keys == [1, 2]
    assert recorded.transactions == [1, 2]
    await asyncio.gather(*calls)
