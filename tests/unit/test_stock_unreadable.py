"""An item that cannot be read hides no other from the catalogue, and decides about no order."""

import pytest
import structlog

from contract.tickets import PRE_APPROVED
from sagakit.errors import Poison
from sagakit.tables import Row
from services.stock.storage import ITEM, SHARD
from tests.support.stock import StockHarness, a_ticket


@pytest.fixture
async def shop() -> StockHarness:
    shop = StockHarness()
    await shop.put()
    return shop


@pytest.mark.parametrize("kind", [ITEM, SHARD])
async def test_unreadable_item_hides_no_other_item(shop: StockHarness, kind: str):
    await shop.put("odd")
    await shop.put("red")
    key = next(key for key in shop.tables.rows if key.kind == kind and key.name.startswith("odd"))
    shop.tables.rows[key] = Row({"price": "?", "available": "?"}, 1)

    with structlog.testing.capture_logs() as logs:
        page, token = await shop.catalogue.list_items(0, "")

    assert ([level.item.itemid for level in page], token) == (["blue", "red"], "")
    assert [(each["event"], each["itemid"]) for each in logs] == [("item unreadable", "odd")]
    with pytest.raises(Poison):
        await shop.catalogue.get_item("odd")


@pytest.mark.parametrize("kind", [ITEM, SHARD])
async def test_order_of_an_unreadable_item_is_a_dead_letter_and_is_not_rejected(
    shop: StockHarness, kind: str
):
    """Repaired and sent again, it is reserved; a rejection would be final."""
    key = next(key for key in shop.tables.rows if key.kind == kind)
    intact = shop.tables.rows[key]
    shop.tables.rows[key] = Row({"price": "?", "available": "?"}, 1)

    with pytest.raises(Poison, match="corrupt-entity"):
        await shop.stock.reserve("e1", a_ticket(PRE_APPROVED))
    published = shop.statuses
    shop.tables.rows[key] = intact
    await shop.stock.reserve("e1", a_ticket(PRE_APPROVED))

    assert (published, shop.statuses) == ([], ["reserved"])
