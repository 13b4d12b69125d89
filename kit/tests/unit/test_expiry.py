"""Expired entities are deleted if the database does not do so: tables do not grow for ever."""

import asyncio
from datetime import UTC, datetime

import pytest

from sagakit.expiry import MAX_BATCH_ROWS, Expiry
from sagakit.tables import EXPIRES_AT, Insert, Key
from services.purchase.usecases import UseCases
from tests.support.clock import Clock
from tests.support.counter import a_store, an_inbox, counting, once
from tests.support.tables import MemoryTables
from tests.support.usecases import REMINDERS, use_cases

DAY = 24 * 3600.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tables() -> MemoryTables:
    return MemoryTables()


async def running(clock: Clock, tables: MemoryTables) -> "asyncio.Task[None]":
    return asyncio.create_task(Expiry(tables, clock.runtime()).run())


async def test_inbox_rows_are_deleted_after_two_months(clock: Clock, tables: MemoryTables):
    await a_store(tables, clock.runtime()).transact(
        [Key("Counter", "a")], once("e1", counting(), an_inbox(clock.runtime()))
    )
    expiry = await running(clock, tables)

    await clock.advance(59 * DAY)
    before = set(tables.rows)
    await clock.advance(2 * DAY)

    assert before - set(tables.rows) == {Key("CounterReceivedEvent", "e1")}
    assert Key("Counter", "a") in tables.rows
    expiry.cancel()


async def test_abandoned_carts_go_and_those_that_became_orders_stay(clock: Clock, tables: MemoryTables):
    purchase = use_cases(tables, UseCases, REMINDERS, 1800, 7 * DAY, runtime=clock.runtime())
    for cartid in ("abandoned", "touched", "closed", "ordered"):
        await purchase.create_cart(cartid)
        await purchase.add_item(cartid, "blue", 1, "x")
    await purchase.close_cart("closed")
    await purchase.close_cart("ordered")
    await purchase.checkout("ordered")
    expiry = await running(clock, tables)

    await clock.advance(6 * DAY)
    await purchase.add_item("touched", "blue", 1, "y")
    await clock.advance(2 * DAY)

    assert {key.name for key in tables.rows if key.kind == "Cart"} == {"touched", "ordered"}
    assert [key.kind for key in tables.rows].count("OrderTicket") == 1
    expiry.cancel()


async def test_many_expired_entities_are_deleted_in_batches(clock: Clock, tables: MemoryTables):
    past = datetime.fromtimestamp(clock.now() - 1, UTC)
    for number in range(3 * MAX_BATCH_ROWS):
        await tables.commit([Insert(Key("Thing", str(number)), {EXPIRES_AT: past})])
    expiry = await running(clock, tables)

    await clock.advance(1300)

    assert tables.rows == {}
    expiry.cancel()


async def test_expiry_is_retried_after_an_outage(clock: Clock, tables: MemoryTables):
    past = datetime.fromtimestamp(clock.now() - 1, UTC)
    await tables.commit([Insert(Key("Thing", "a"), {EXPIRES_AT: past})])
    tables.unavailable = True
    expiry = await running(clock, tables)
    await clock.advance(3600)

    tables.unavailable = False
    await clock.advance(1300)

    assert tables.rows == {}
    expiry.cancel()
