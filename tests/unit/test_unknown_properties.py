"""Properties of a newer release survive a rewrite by this one (for sagas: the simulation `mixed`)."""

from dataclasses import replace

import pytest

from contract.tickets import CartItem, TicketMessage
from sagakit.tables import Insert, Key, Update
from sagakit.testing.tables import MemoryTables
from services.payment.simulated import FAULTS, load_faults, save_faults
from services.purchase import cart as carts
from services.purchase.cart import CLOSED, Cart
from services.purchase.storage import cart_entity, cart_key, to_cart
from services.stock.catalogue import Catalogue
from services.stock.shards import ShardHints
from services.stock.storage import CATALOGUE, item_key, shard_key
from tests.support.usecases import Harness, PurchaseHarness

NEWER = {"gift": True}
STORED = {
    "status": "open",
    "items": [{"itemid": "blue", "count": 1, "wrapping": "paper"}, {"itemid": "red", "count": 1}],
    **NEWER,
}


@pytest.mark.parametrize(
    "change",
    [
        lambda cart: carts.add(cart, "blue", 2),
        lambda cart: carts.put(cart, "blue", 5),
        lambda cart: carts.put(cart, "gold", 1),
        lambda cart: carts.remove(cart, "red"),
        carts.close,
        lambda cart: carts.check_out(replace(cart, status=CLOSED), "o"),
    ],
    ids=["add", "set", "set-another", "remove-another", "close", "check-out"],
)
def test_cart_keeps_them_through_every_change(change):
    before: Cart = to_cart("c", STORED)

    entity = cart_entity(change(before), expires_at=0)

    assert entity["gift"] is True
    assert entity["items"][0]["wrapping"] == "paper"


async def test_items_shards_and_catalogue_keep_them():
    shop = Harness()
    catalogue = shop.use_cases(lambda store, *_: Catalogue(store, ShardHints()))
    await catalogue.put_item("blue", 100, 5, False, False, 2)
    keys = [item_key("blue"), shard_key("blue", 0), shard_key("blue", 1), CATALOGUE]
    await add_property(shop.tables, *keys)

    await catalogue.put_item("blue", 200, 9, True, False, 0)
    await catalogue.put_item("red", 100, 1, False, False, 1)

    assert [shop.tables.rows[key].entity.get("gift") for key in keys] == [True] * len(keys)
    assert (await catalogue.get_item("blue")).units.available == 9
    assert (await catalogue.list_items(0, ""))[1] == ""


async def test_faults_of_the_provider_keep_them():
    tables = MemoryTables()
    await tables.commit([Insert(FAULTS, NEWER)])

    await save_faults(tables, replace(await load_faults(tables), unavailable=True))

    assert tables.rows[FAULTS].entity["gift"] is True


async def test_command_that_a_newer_release_stored_more_about_is_not_executed_again():
    shop = PurchaseHarness()
    await shop.purchase.create_cart("c")
    await shop.purchase.add_item("c", "blue", 3, "x")
    (key,) = (key for key in shop.tables.rows if key.name == "c:x")
    row = shop.tables.rows[key]
    request = {**row.entity["request"], **NEWER}
    await shop.tables.commit([Update(key, {**row.entity, "request": request}, row.version)])

    repeated = await shop.purchase.add_item("c", "blue", 3, "x")

    assert repeated.items == (CartItem("blue", 3),)


async def test_expiry_of_a_cart_that_was_checked_out_is_not_one_of_them():
    shop = PurchaseHarness()
    await shop.check_out()

    assert "expires_at" not in shop.tables.rows[cart_key("c")].entity


def test_events_do_not_have_them():
    """They may be of types that JSON does not have, and are the newer release's to publish."""
    cart = to_cart("c", STORED)

    event = TicketMessage("o", "pre-approved", cart.items).to_event("e", {})

    assert b"wrapping" not in event.body


async def add_property(tables: MemoryTables, *keys: Key) -> None:
    rows = {key: tables.rows[key] for key in keys}
    await tables.commit([Update(key, {**row.entity, **NEWER}, row.version) for key, row in rows.items()])
