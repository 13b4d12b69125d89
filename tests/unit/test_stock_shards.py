"""Shards and the catalogue: units are found in every shard, counted once, and add up."""

import asyncio

import pytest

from contract.tickets import (
    CANCELED,
    PRE_APPROVED,
    RESERVE_FAILED,
    RESERVED,
)
from sagakit.consumer import Outcome
from sagakit.errors import FailedPrecondition, NotFound
from sagakit.tables import Update
from sagakit.testing.tables import CountedTables
from services.stock.catalogue import MAX_ITEMS
from services.stock.inventory import Shard, home_shard
from services.stock.storage import CATALOGUE, SHARD
from tests.support.stock import FACTS, StockHarness, a_ticket


@pytest.fixture
async def shop() -> StockHarness:
    shop = StockHarness()
    await shop.put()
    return shop


async def test_release_returns_units_to_the_shards_they_came_from(shop: StockHarness):
    await shop.put("hot", stock=8, shards=4)
    before = [row.entity for key, row in shop.shards.items() if "hot" in key.name]

    await shop.stock.reserve("e1", a_ticket(PRE_APPROVED, count=5, itemid="hot"))
    reserved = [row.entity["reserved"] for key, row in shop.shards.items() if "hot" in key.name]
    another, _ = shop.process()
    await another.release("e2", a_ticket(CANCELED, itemid="hot"))

    assert sorted(reserved) == [0, 1, 2, 2]
    assert [row.entity for key, row in shop.shards.items() if "hot" in key.name] == before


async def test_process_with_outdated_shard_hints_finds_all_units(shop: StockHarness):
    await shop.put("hot", stock=4)
    outdated, catalogue = shop.process()
    await catalogue.get_item("hot")
    await shop.put("hot", stock=8, shards=8)

    outcome = await outdated.reserve("e1", a_ticket(PRE_APPROVED, count=8, itemid="hot"))

    assert (outcome, shop.statuses) == (Outcome.APPLIED, [RESERVED])
    assert await shop.units("hot") == Shard(reserved=8)


@pytest.mark.parametrize("read_before", [True, False])
async def test_order_tries_its_home_shard_first(shop: StockHarness, read_before):
    """A process learns the shards from the first order, if it has not read the item before."""
    await shop.put("hot", stock=80, shards=8)
    tables = CountedTables(shop.tables)
    stock, catalogue = shop.process(tables)
    if read_before:
        await catalogue.get_item("hot")

    await shop.reserve_each(16, by=stock)

    written = [each.key.name for commit in tables.committed for each in commit if each.key.kind == SHARD]
    homes = [f"hot:{home_shard(f'o{number}', 8)}" for number in range(16)]
    assert written == (homes if read_before else ["hot:0", *homes[1:]])


@pytest.mark.parametrize("change", [{"only_if_absent": True}, {"price": 7}, {"stock": 9}])
async def test_process_without_shard_hints_puts_an_item_with_all_its_units(shop: StockHarness, change):
    await shop.put("hot", stock=8, shards=8)
    await shop.reserve_each(8)
    facts = {**FACTS, "stock": 8, **change}

    changed = await shop.process()[1].put_item("hot", **facts)

    assert changed.units == await shop.units("hot") == Shard(available=facts["stock"] - 8, reserved=8)
    assert changed.item.shards == 8
    with pytest.raises(FailedPrecondition) as rejected:
        await shop.process()[1].put_item("hot", **{**facts, "stock": 7, "only_if_absent": False})
    assert rejected.value.reason == "stock-below-taken"


async def test_full_catalogue_takes_changes_but_no_new_items(shop: StockHarness):
    full = tuple(f"item-{number:04}" for number in range(MAX_ITEMS - 1))
    row = shop.tables.rows[CATALOGUE]
    await shop.tables.commit([Update(CATALOGUE, {"itemids": [*full, "blue"]}, row.version)])

    with pytest.raises(FailedPrecondition) as rejected:
        await shop.put("one-too-many")
    await shop.put("blue", stock=11)

    assert rejected.value.reason == "catalogue-full"
    assert await shop.units() == Shard(available=11)
    with pytest.raises(NotFound):
        await shop.units("one-too-many")


async def test_items_are_listed_after_any_page_token(shop: StockHarness):
    for itemid in ("red", "gold"):
        await shop.put(itemid)

    pages = [await shop.catalogue.list_items(2, token) for token in ("", "gold", "h", "red", "z")]

    assert [([each.item.itemid for each in items], token) for items, token in pages] == [
        (["blue", "gold"], "gold"),
        (["red"], ""),
        (["red"], ""),
        ([], ""),
        ([], ""),
    ]


async def test_concurrent_orders_reserve_every_unit_once(shop: StockHarness):
    """Trap: stock read outside the transaction that writes it (oversell)."""
    await shop.put("hot", stock=10, shards=4)
    processes = [shop.process()[0] for _ in range(2)]

    await asyncio.gather(
        *(
            processes[number % 2].reserve(f"e{number}", a_ticket(PRE_APPROVED, 1, "hot", f"o{number}"))
            for number in range(16)
        )
    )

    assert sorted(shop.statuses) == [RESERVE_FAILED] * 6 + [RESERVED] * 10
    assert await shop.units("hot") == Shard(reserved=10)


async def test_item_changed_during_orders_still_adds_up(shop: StockHarness):
    """Trap: available units spread again, over a shard from which an order has just reserved."""
    stock, _ = shop.process()
    _, catalogue = shop.process()

    await asyncio.gather(
        *(stock.reserve(f"e{n}", a_ticket(PRE_APPROVED, 1, orderid=f"o{n}")) for n in range(8)),
        *(catalogue.put_item("blue", stock=20 + n, **{**FACTS, "shards": 1 + n}) for n in range(4)),
        return_exceptions=True,
    )

    level = await catalogue.get_item("blue")
    assert level.item.stock >= 20
    assert level.units == Shard(available=level.item.stock - 8, reserved=8)
