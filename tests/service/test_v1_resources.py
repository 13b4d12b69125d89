"""Keys, entity tags, pages and races under /v1, over a real suite. Golden files hold single requests."""

from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest

from tests.service.gateway_harness import assert_problem, gateway
from tests.support.suite import Suite

CART = "/v1/carts/c"
BLUE = {"itemid": "blue", "count": 3}


@pytest.fixture
async def client(suite: Suite) -> AsyncIterator[httpx.AsyncClient]:
    async with gateway(suite.services.targets) as client:
        yield client


def key(name: str) -> dict[str, str]:
    return {"Idempotency-Key": name}


async def put(client: httpx.AsyncClient, itemid: str, count: int, headers=None) -> httpx.Response:
    return await client.put(f"{CART}/items/{itemid}", json={"count": count}, headers=headers)


async def an_order(client: httpx.AsyncClient) -> str:
    """The path of a new order for three blue."""
    await client.put(CART)
    await put(client, "blue", 3)
    await client.post(f"{CART}:close")
    return (await client.post(f"{CART}:checkout")).headers["location"]


async def test_etag_changes_with_the_answer_and_saves_sending_it_again(
    suite: Suite, client: httpx.AsyncClient
):
    await suite.services.stop("stock")
    location = await an_order(client)
    tag = (await client.get(location)).headers["etag"]

    known, weak, any_, other = [
        await client.get(location, headers={"If-None-Match": each})
        for each in (tag, f'"other", W/{tag}', "*", '"other"')
    ]
    two = await client.get(location, headers=[("If-None-Match", '"other"'), ("If-None-Match", tag)])
    await client.post(f"{location}:cancel")
    changed = await client.get(location, headers={"If-None-Match": tag})

    for answer in (known, weak, any_, two):
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
        assert answer.headers["cache-control"] == "private, no-cache"
    assert (other.status_code, other.headers["etag"]) == (200, tag)
    assert (changed.status_code, changed.json()["status"]) == (200, "canceled")
    assert changed.headers["etag"] != tag


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("PUT", f"{CART}/items/ü", b'{"count": 3}', "itemid"),
        ("PUT", f"{CART}/items/blue", b'{"count": 1e999}', "count"),
        ("PUT", f"{CART}/items/blue", b'{"count": 3, "cartid": "other"}', "cartid"),
        ("GET", CART, b'{"cartid": "c"}', "cartid"),
    ],
)
async def test_invalid_request_names_the_field(client: httpx.AsyncClient, method, path, body, field):
    problem = assert_problem(await client.request(method, path, content=body), 400, "invalid-argument")

    assert [error["field"] for error in problem["errors"]] == [field]


async def test_different_request_under_a_key_is_rejected(client: httpx.AsyncClient):
    await client.put(CART)
    await put(client, "blue", 3, key("k"))

    others = [
        await put(client, "blue", 4, key("k")),
        await put(client, "red", 3, key("k")),
        await client.delete(f"{CART}/items/blue", headers=key("k")),
        await client.post(f"{CART}:close", headers=key("k")),
        await client.put(CART, headers=key("k")),
    ]

    for answer in others:
        problem = assert_problem(answer, 422, "idempotency-key-reused")
        assert [error["field"] for error in problem["errors"]] == ["Idempotency-Key"]
    assert (await client.get(CART)).json()["cart_items"] == [BLUE]


async def test_new_carts_have_ids_that_cannot_be_guessed(client: httpx.AsyncClient):
    answers = [await client.post("/v1/carts") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 201]
    cartids = [answer.json()["cartid"] for answer in answers]
    assert [UUID(cartid).version for cartid in cartids] == [4, 4]
    assert len(set(cartids)) == 2
    for answer, cartid in zip(answers, cartids, strict=True):
        assert answer.headers["location"] == f"/v1/carts/{cartid}"
        assert (await client.get(answer.headers["location"])).json() == answer.json()


async def test_retry_of_opening_a_cart_gets_the_same_one(client: httpx.AsyncClient):
    first = await client.post("/v1/carts", headers=key("k-1"))
    await client.put(f"{first.headers['location']}/items/blue", json={"count": 3})

    retry = await client.post("/v1/carts", headers=key("k-1"))
    other = await client.post("/v1/carts", headers=key("k-2"))

    assert (retry.status_code, retry.json()) == (201, first.json())
    assert retry.headers["location"] == first.headers["location"]
    assert other.json()["cartid"] != first.json()["cartid"]
