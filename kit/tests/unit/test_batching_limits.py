"""How much a shared call of the database carries, and in which order."""

import asyncio

import pytest

from sagakit.shared_calls import MAX_LOOKED_AT
from sagakit.tables import Delete, Insert, Key
from tests.support.slow_tables import ONE, A, B, C, D, E, SlowTables, batched, started


@pytest.fixture
def slow() -> SlowTables:
    return SlowTables()


async def test_no_more_calls_than_allowed_are_in_flight(slow: SlowTables):
    tables = batched(slow, in_flight=2)

    calls = await started(tables.lookup([A]))
    calls += await started(*(tables.lookup([key]) for key in (B, C, D)))
    assert slow.lookups == [[A], [B]]
    await slow.release(times=2)

    assert slow.lookups == [[A], [B], [C, D]]
    await asyncio.gather(*calls)


async def test_calls_without_room_for_all_that_wait_follow_one_another(slow: SlowTables):
    tables = batched(slow, transactions=1)

    calls = await started(*(tables.commit([Insert(key, ONE)]) for key in (A, B, C)))
    await slow.release()
    assert slow.commits == [[A], [B]]
    await slow.release(times=2)
    calls += await started(*(tables.commit([Insert(key, ONE)]) for key in (D, E)))

    assert slow.commits == [[A], [B], [C], [D]]
    await slow.release(times=2)
    await asyncio.gather(*calls)


@pytest.mark.parametrize(
    ("limits", "commits"),
    [
        ({"transactions": 2}, [[A], [B, C], [D]]),
        ({"mutations": 1}, [[A], [B], [C], [D]]),
        ({"mutations": 2}, [[A], [B, C], [D]]),
        ({"bytes": 5}, [[A], [B], [C], [D]]),
        ({"bytes": 10}, [[A], [B, C], [D]]),
    ],
)
async def test_commit_carries_no_more_than_its_limits(slow: SlowTables, limits, commits):
    tables = batched(slow, **limits)

    calls = await started(*(tables.commit([Insert(key, {"text": "12345"})]) for key in (A, B, C, D)))
    await slow.release(times=4)

    assert slow.commits == commits
    await asyncio.gather(*calls)


@pytest.mark.parametrize(
    "entity",
    [{"blob": b"12345"}, {"list": ["123", "45"]}, {"nested": {"text": "12345"}}, {"list": [{"n": "12345"}]}],
)
async def test_text_and_bytes_count_at_any_depth(slow: SlowTables, entity):
    tables = batched(slow, bytes=10)

    calls = await started(*(tables.commit([Insert(key, entity)]) for key in (A, B, C, D)))
    await slow.release(times=3)

    assert slow.commits == [[A], [B, C], [D]]
    await asyncio.gather(*calls)


async def test_deletes_that_fit_into_no_other_commit_do_not_wait(slow: SlowTables):
    tables = batched(slow, mutations=3)

    (deletes,) = await started(tables.commit([Delete(A), Delete(B)]))

    assert slow.commits == [[A, B]]
    await slow.release()
    await deletes


async def test_lookup_beyond_the_limit_is_made_alone(slow: SlowTables):
    tables = batched(slow, keys=2)

    calls = await started(*(tables.lookup(keys) for keys in ([A], [B, C, D], [A], [B], [C])))
    await slow.release(times=4)

    assert slow.lookups == [[A], [B, C, D], [A, B], [C]]
    await asyncio.gather(*calls)


async def test_commit_beyond_the_limit_is_made_alone(slow: SlowTables):
    tables = batched(slow, mutations=2)
    wide = [Insert(key, ONE) for key in (B, C, D)]

    calls = await started(*(tables.commit(each) for each in ([Insert(A, ONE)], wide, [Insert(E, ONE)])))
    await slow.release(times=3)

    assert slow.commits == [[A], [B, C, D], [E]]
    await asyncio.gather(*calls)


async def test_steady_stream_of_small_requests_delays_a_large_one_by_one_call(slow: SlowTables):
    tables = batched(slow, mutations=3)
    wide = [Insert(Key("Wide", str(number)), ONE) for number in range(3)]
    calls = await started(
        tables.commit([Insert(A, ONE)]), tables.commit([Insert(B, ONE)]), tables.commit(wide)
    )

    for number in range(3):
        calls += await started(tables.commit([Insert(Key("Small", str(number)), ONE)]))
        await slow.release()

    assert [mutation.key for mutation in wide] in slow.commits[:3]
    await slow.release(times=3)
    await asyncio.gather(*calls)


async def test_request_without_room_keeps_its_place_in_a_queue_of_any_length(slow: SlowTables):
    tables = batched(slow, keys=2)
    small = [[Key("Small", str(number))] for number in range(2 * MAX_LOOKED_AT)]

    calls = await started(*(tables.lookup(keys) for keys in ([A], [B, C], [D, E], *small)))
    await slow.release(times=3 + MAX_LOOKED_AT)

    assert [[*keys] for keys in slow.lookups[:3]] == [[A], [B, C], [D, E]]
    await asyncio.gather(*calls)


async def test_deletes_take_no_place_from_others(slow: SlowTables):
    tables = batched(slow, mutations=4)
    wide = [Insert(Key("Wide", str(number)), ONE) for number in range(3)]

    calls = await started(tables.commit([Delete(A), Delete(B)]))
    calls += await started(tables.commit([Insert(C, ONE)]), tables.commit(wide))
    assert slow.commits == [[C, A, B]]
    calls += await started(tables.commit([Delete(D), Delete(E)]))
    await slow.release(times=2)

    assert slow.commits[1:] == [[each.key for each in wide]]
    calls[-1].cancel()
    await asyncio.gather(*calls, return_exceptions=True)
