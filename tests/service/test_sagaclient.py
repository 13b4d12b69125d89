"""The client against a gateway and its services: every action and every kind of error."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

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

README = Path("client/README.md").read_text()


@pytest.fixture
async def gateway(suite: Suite) -> AsyncIterator[httpx.ASGITransport]:
    app = create_app(Clients(suite.services.targets, 10), Lifecycle())
    async with app.router.lifespan_context(app):
        yield httpx.ASGITransport(app, raise_app_exceptions=False)


@pytest.fixture
async def client(gateway: httpx.ASGITransport) -> AsyncIterator[SagaClient]:
    retries = RetryPolicy(initial_backoff=0.01)
    async with SagaClient("http://localhost", transport=gateway, retries=retries) as client:
        yield client


async def close_cart_with(client: SagaClient, cartid: str = "c", **items: int) -> None:
    await client.create_cart(cartid)
    for itemid, count in items.items():
        await client.set_item(cartid, itemid, count)
    await client.close_cart(cartid)


async def test_cart_without_an_id_gets_a_new_one(client: SagaClient):
    first, second = await client.create_cart(), await client.create_cart()

    assert first.cartid != second.cartid
    assert await client.get_cart(first.cartid) == first


async def test_cart_becomes_an_order_that_is_approved(client: SagaClient):
    created = await client.create_cart("c")
    await client.set_item("c", "blue", 3)
    filled = await client.set_item("c", "red", 1)
    emptied = await client.remove_item("c", "red")
    closed = await client.close_cart("c")
    opened = await client.checkout("c")
    final = await client.wait_for_order(opened.orderid, seconds=20)
    history = await client.order_history(opened.orderid)

    blue = CartItem("blue", 3)
    assert created == Cart("c", "open", ())
    assert filled == Cart("c", "open", (blue, CartItem("red", 1)))
    assert emptied == Cart("c", "open", (blue,))
    assert closed == Cart("c", "closed", (blue,))
    assert opened == Order(opened.orderid, "pre-approved", (blue,))
    assert (final, final.is_final) == (Order(opened.orderid, "approved", (blue,), amount=300), True)
    assert await client.get_order(opened.orderid) == final
    assert await client.get_cart("c") == Cart("c", "checked-out", (blue,), opened.orderid)
    assert (history[0].status, history[0].cause) == ("pre-approved", "checkout")


async def test_example_of_the_readme_works(gateway: httpx.ASGITransport, capsys: pytest.CaptureFixture[str]):
    code = README.split("```python\n")[1].split("asyncio.run(")[0]
    example: dict[str, Any] = {}
    exec(code, example)
    example["SagaClient"] = partial(SagaClient, transport=gateway)

    await example["main"]()

    assert capsys.readouterr().out.splitlines()[-2:] == ["approved 300", "order-ended"]


async def test_wait_for_order_returns_an_open_order_after_its_time(suite: Suite, client: SagaClient):
    await suite.services.stop("stock")
    await close_cart_with(client, blue=1)
    order = await client.checkout("c")

    waiting = await client.wait_for_order(order.orderid, seconds=0.3)

    assert (waiting, waiting.is_final) == (order, False)
    canceled = await client.cancel_order(order.orderid)
    assert (canceled.status, canceled.reason, canceled.is_final) == ("canceled", "client", True)


async def test_catalogue_is_read_over_all_its_pages(client: SagaClient):
    items = [item async for item in client.items(page_size=3)]

    assert [item.itemid for item in items] == ["blue", "gold", "red", "yellow"]
    assert await client.get_item("blue") == items[0]
    assert items[0].stock == items[0].available + items[0].reserved + items[0].sold


async def test_each_kind_of_rejection_has_its_own_error(client: SagaClient):
    await client.create_cart("c")
    await client.set_item("c", "blue", 3, key="k")

    with pytest.raises(NotFound) as not_found:
        await client.get_cart("none")
    with pytest.raises(Conflict) as conflict:
        await client.checkout("c")
    with pytest.raises(IdempotencyKeyReused) as reused:
        await client.set_item("c", "blue", 4, key="k")
    with pytest.raises(BadRequest) as bad_request:
        await client.set_item("c", "blue", 0)

    assert (not_found.value.reason, conflict.value.reason) == ("unknown-cart", "cart-not-closed")
    assert reused.value.reason == "idempotency-key-reused"
    assert [error["field"] for error in bad_request.value.errors] == ["count"]


async def test_call_with_the_callers_key_is_executed_once(client: SagaClient):
    await client.create_cart("c")
    first = await client.set_item("c", "blue", 3, key="mine")
    await client.set_item("c", "blue", 5)

    assert await client.set_item("c", "blue", 3, key="mine") == first
    assert (await client.get_cart("c")).cart_items == (CartItem("blue", 5),)


async def test_concurrent_checkouts_with_one_key_get_one_order(client: SagaClient):
    await close_cart_with(client, blue=1)

    orders = await asyncio.gather(*(client.checkout("c", key="k") for _ in range(8)))

    assert len(set(orders)) == 1
