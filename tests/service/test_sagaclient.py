"""The client over a gateway and the services behind it: each thing it can do, and each way to be refused."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from sagaclient import (
    BadRequest,
    Cart,
    CartItem,
    Conflict,
    IdempotencyKeyReused,
    NotFound,
    Order,
    RetryPolicy,
    SagaClient,
)
from services.gateway.app import Lifecycle, create_app
from services.gateway.clients import Clients
from tests.support.suite import Suite


@pytest.fixture
async def client(suite: Suite) -> AsyncIterator[SagaClient]:
    app = create_app(Clients(suite.services.targets, 10), Lifecycle())
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        SagaClient("http://test", transport=transport, retries=RetryPolicy(initial_backoff=0.01)) as client,
    ):
        yield client


async def a_closed_cart(client: SagaClient, cartid: str = "c", **items: int) -> None:
    await client.create_cart(cartid)
    for itemid, count in items.items():
        await client.set_item(cartid, itemid, count)
    await client.close_cart(cartid)


async def test_a_cart_becomes_an_order_that_is_followed_to_its_end(client: SagaClient):
    created = await client.create_cart("c")
    await client.set_item("c", "blue", 3)
    filled = await client.set_item("c", "red", 1)
    emptied = await client.remove_item("c", "red")
    closed = await client.close_cart("c")
    opened = await client.checkout("c")
    ended = await client.wait_for_order(opened.orderid, seconds=20)
    history = await client.order_history(opened.orderid)

    blue = CartItem("blue", 3)
    assert created == Cart("c", "open", ())
    assert filled == Cart("c", "open", (blue, CartItem("red", 1)))
    assert emptied == Cart("c", "open", (blue,))
    assert closed == Cart("c", "closed", (blue,))
    assert opened == Order(opened.orderid, "pre-approved", (blue,))
    assert (ended, ended.has_ended) == (Order(opened.orderid, "approved", (blue,), amount=300), True)
    assert await client.get_order(opened.orderid) == ended
    assert await client.get_cart("c") == Cart("c", "checked-out", (blue,), opened.orderid)
    assert (history[0].status, history[0].cause) == ("pre-approved", "checkout")


async def test_an_order_that_has_not_ended_is_shown_as_it_is_when_the_time_is_up(
    suite: Suite, client: SagaClient
):
    await suite.services.stop("stock")
    await a_closed_cart(client, blue=1)
    order = await client.checkout("c")

    waiting = await client.wait_for_order(order.orderid, seconds=0.3)

    assert (waiting, waiting.has_ended) == (order, False)
    canceled = await client.cancel_order(order.orderid)
    assert (canceled.status, canceled.reason, canceled.has_ended) == ("canceled", "client", True)


async def test_the_catalogue_is_read_over_all_its_pages(client: SagaClient):
    items = [item async for item in client.items(page_size=3)]

    assert [item.itemid for item in items] == ["blue", "gold", "red", "yellow"]
    assert await client.get_item("blue") == items[0]
    assert items[0].stock == items[0].available + items[0].reserved + items[0].sold


async def test_each_refusal_is_an_error_of_its_own_with_its_reason(client: SagaClient):
    await client.create_cart("c")
    await client.set_item("c", "blue", 3, key="k")

    with pytest.raises(NotFound) as not_found:
        await client.get_cart("none")
    with pytest.raises(Conflict) as conflict:
        await client.checkout("c")
    with pytest.raises(IdempotencyKeyReused) as reused:
        await client.set_item("c", "blue", 4, key="k")
    with pytest.raises(BadRequest) as malformed:
        await client.set_item("c", "blue", 0)

    assert (not_found.value.reason, conflict.value.reason) == ("unknown-cart", "cart-not-closed")
    assert reused.value.reason == "idempotency-key-reused"
    assert [error["field"] for error in malformed.value.errors] == ["count"]


async def test_a_call_under_a_key_of_ones_own_is_made_once(client: SagaClient):
    await client.create_cart("c")
    first = await client.set_item("c", "blue", 3, key="mine")
    await client.set_item("c", "blue", 5)

    assert await client.set_item("c", "blue", 3, key="mine") == first
    assert (await client.get_cart("c")).cart_items == (CartItem("blue", 5),)


async def test_two_that_race_on_one_key_get_one_order(client: SagaClient):
    await a_closed_cart(client, blue=1)

    orders = await asyncio.gather(*(client.checkout("c", key="k") for _ in range(8)))

    assert len(set(orders)) == 1
