"""Orders with many items: what one transaction touches is bounded, and what exceeds it is rejected."""

from collections.abc import Sequence

import pytest

from contract.fields import MAX_ITEMS_PER_CART
from contract.tickets import CANCELED, PRE_APPROVED, CartItem, TicketMessage
from sagakit.consumer import Outcome
from sagakit.errors import Poison
from sagakit.tables import MAX_MUTATIONS, Key, Mutation, Row, Tables
from sagakit.testing.tables import CountedTables
from services.stock.inventory import MAX_SHARDS
from tests.support.stock import StockHarness

MAX_KEYS = 1_000
MAX_COMMIT = 500
REJECTED = ("reserve-failed", "too-many-items")


class LimitedTables(CountedTables):
    """Accepts as much as Datastore does, or its emulator."""

    def __init__(self, tables: Tables, max_commit: int = MAX_COMMIT) -> None:
        super().__init__(tables)
        self._max_commit = max_commit

    async def lookup(self, keys: Sequence[Key]) -> dict[Key, Row]:
        assert len(set(keys)) <= MAX_KEYS
        return await super().lookup(keys)

    async def commit(self, mutations: Sequence[Mutation]) -> None:
        if len(mutations) > self._max_commit:
            raise Poison("unstorable: too many entities")
        await super().commit(mutations)


def an_order(items: int, count: int = 1, status: str = PRE_APPROVED) -> TicketMessage:
    return TicketMessage("o", status, tuple(CartItem(f"i{n}", count) for n in range(items)))


@pytest.fixture
async def shop() -> StockHarness:
    return StockHarness()


async def test_widest_order_is_reserved_from_every_shard_and_released(shop: StockHarness):
    for number in range(MAX_ITEMS_PER_CART):
        await shop.put(f"i{number}", stock=2 * MAX_SHARDS, shards=MAX_SHARDS)
    tables = LimitedTables(shop.tables)
    stock, _ = shop.process(tables)

    outcome = await stock.reserve("e1", an_order(MAX_ITEMS_PER_CART, 2 * MAX_SHARDS))
    reserved = max(map(len, tables.committed))
    released = await stock.release("e2", an_order(MAX_ITEMS_PER_CART, 2 * MAX_SHARDS, CANCELED))

    assert (outcome, released) == (Outcome.APPLIED, Outcome.APPLIED)
    assert reserved == MAX_ITEMS_PER_CART * MAX_SHARDS + 3 <= MAX_COMMIT
    assert (await shop.units("i0")).available == 2 * MAX_SHARDS


async def test_order_with_more_items_than_a_cart_may_hold_is_rejected(shop: StockHarness):
    """Published by a purchase service of another version, or in another language."""
    tables = LimitedTables(shop.tables)
    stock, _ = shop.process(tables)

    outcomes = [await stock.reserve(f"e{number}", an_order(3_000)) for number in range(2)]
    await stock.release("e3", an_order(3_000, status=CANCELED))

    assert outcomes == [Outcome.APPLIED, Outcome.APPLIED]
    assert [(each.status, each.reason) for each in shop.published] == [REJECTED] * 2


async def test_order_that_the_database_rejects_is_rejected_and_no_dead_letter(shop: StockHarness):
    """The Datastore emulator accepts 25 entities in a commit: orders of up to 22 items."""
    for number in range(23):
        await shop.put(f"i{number}")
    stock, _ = shop.process(LimitedTables(shop.tables, MAX_MUTATIONS))

    rejected = await stock.reserve("e1", an_order(23))
    repeated = await stock.reserve("e1", an_order(23))

    assert (rejected, repeated) == (Outcome.APPLIED, Outcome.DUPLICATE)
    assert [(each.status, each.reason) for each in shop.published] == [REJECTED]
    assert (await shop.units("i0")).reserved == 0


async def test_widest_order_that_the_emulator_accepts_is_reserved(shop: StockHarness):
    for number in range(22):
        await shop.put(f"i{number}")
    stock, _ = shop.process(LimitedTables(shop.tables, MAX_MUTATIONS))

    await stock.reserve("e1", an_order(22))
    await stock.sell("e2", an_order(22))

    assert shop.statuses == ["reserved"]
    assert (await shop.units("i21")).sold == 1
