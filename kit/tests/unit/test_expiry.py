"""Expired entities are deleted if the database does not do so: tables do not grow for ever."""

from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from sagakit.sweeper import EXPIRY_INTERVAL_SECONDS, MAX_EXPIRED_ROWS, Expiry
from sagakit.tables import EXPIRES_AT, Insert, Key
from sagakit.testing.clock import Clock
from sagakit.testing.tables import MemoryTables
from tests.support.counter import a_store, an_inbox, counting, once
from tests.support.harness import background

DAY = 24 * 3600.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tables() -> MemoryTables:
    return MemoryTables()


def expiring(clock: Clock, tables: MemoryTables) -> AbstractAsyncContextManager[object]:
    return background(Expiry(tables, clock.runtime()).run())


async def test_inbox_rows_are_deleted_after_two_months(clock: Clock, tables: MemoryTables):
    await a_store(tables, clock.runtime()).transact(
        [Key("Counter", "a")], once("e1", counting(), an_inbox(clock.runtime()))
    )
    async with expiring(clock, tables):
        await clock.advance(59 * DAY)
        before = set(tables.rows)
        await clock.advance(2 * DAY)

        assert before - set(tables.rows) == {Key("CounterReceivedEvent", "e1")}
        assert Key("Counter", "a") in tables.rows


async def test_many_expired_entities_are_deleted_in_batches(clock: Clock, tables: MemoryTables):
    past = datetime.fromtimestamp(clock.now() - 1, UTC)
    for number in range(3 * MAX_EXPIRED_ROWS):
        await tables.commit([Insert(Key("Thing", str(number)), {EXPIRES_AT: past})])
    async with expiring(clock, tables):
        with capture_logs() as logs:
            await clock.advance(1300)

    assert tables.rows == {}
    assert [entry["count"] for entry in logs] == [MAX_EXPIRED_ROWS] * 3


async def test_expired_entities_are_looked_for_at_intervals(clock: Clock):
    class CountedExpiry(MemoryTables):
        calls = 0

        async def expire(self, now: float, limit: int) -> int:
            self.calls += 1
            return await super().expire(now, limit)

    tables = CountedExpiry()
    async with expiring(clock, tables):
        for number in range(100):
            assert tables.calls <= number + 15
            await clock.advance(EXPIRY_INTERVAL_SECONDS)

    assert tables.calls >= 85


async def test_expiry_is_retried_after_an_outage(clock: Clock, tables: MemoryTables):
    past = datetime.fromtimestamp(clock.now() - 1, UTC)
    await tables.commit([Insert(Key("Thing", "a"), {EXPIRES_AT: past})])
    tables.unavailable = True
    async with expiring(clock, tables):
        with capture_logs() as logs:
            await clock.advance(3600)
        assert {(entry["event"], entry["log_level"]) for entry in logs} == {
            ("expiry failed, will retry", "warning")
        }

        tables.unavailable = False
        await clock.advance(1300)

        assert tables.rows == {}
