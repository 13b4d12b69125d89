"""Shared calls of the database and the deadlines of their callers."""

import asyncio
from collections.abc import Sequence

import pytest

from sagakit import deadline
from sagakit.errors import OutcomeUnknown, Unavailable
from sagakit.shared_calls import MAX_SECONDS, URGENT_SECONDS
from sagakit.tables import Insert, Key, Row
from tests.support.slow_tables import ONE, A, B, C, D, SlowTables, batched, started


@pytest.fixture
def slow() -> SlowTables:
    return SlowTables()


async def test_caller_with_little_time_left_waits_for_no_other(slow: SlowTables):
    tables = batched(slow)
    calls = await started(tables.lookup([A]))

    with deadline.set_deadline(URGENT_SECONDS / 2):
        calls += await started(tables.lookup([B]))

    assert slow.lookups == [[A], [B]]
    await slow.release()
    await asyncio.gather(*calls)


async def test_expired_deadline_of_one_ends_its_wait_only(slow: SlowTables):
    tables = batched(slow)
    seconds = URGENT_SECONDS + 0.05
    (first,) = await started(tables.commit([Insert(A, ONE)]))
    with deadline.set_deadline(seconds):
        (unsent,) = await started(tables.commit([Insert(B, ONE)]))

    with pytest.raises(Unavailable) as unsent_error:
        await unsent
    with deadline.set_deadline(seconds):
        (sent,) = await started(tables.commit([Insert(C, ONE)]))
    (other,) = await started(tables.commit([Insert(D, ONE)]))
    await slow.release()
    with pytest.raises(OutcomeUnknown):
        await sent
    await slow.release()

    assert not isinstance(unsent_error.value, OutcomeUnknown)
    assert slow.commits == [[A], [C, D]]
    await asyncio.gather(first, other)


async def test_shared_call_has_the_deadline_of_none_of_its_callers(slow: SlowTables):
    seen: list[float] = []

    class Seeing(SlowTables):
        async def lookup(self, keys: Sequence[Key]) -> dict[Key, Row]:
            seen.append(deadline.remaining(MAX_SECONDS))
            return await super().lookup(keys)

    seeing = Seeing()
    tables = batched(seeing)
    with deadline.set_deadline(1.0):
        calls = await started(tables.lookup([A]), tables.lookup([B]))
    await seeing.release(times=2)

    assert seen[0] <= 1.0
    assert seen[1] == MAX_SECONDS
    await asyncio.gather(*calls)
