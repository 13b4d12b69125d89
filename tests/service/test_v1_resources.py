"""Keys, entity tags, pages and races under /v1, over a real suite. Golden files hold single requests."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.service.gateway_harness import assert_problem, gateway
from tests.support.eventually import eventually
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


async def test_catalogue_is_read_page_by_page(client: httpx.AsyncClient):
    pages, token = [], ""
    while not pages or token:
        page = (await client.get("/v1/items", params={"page_size": 3, "page_token": token})).json()
        pages.append([item["itemid"] for item in page["items"]])
        token = page["next_page_token"]

    whole = (await client.get("/v1/items")).json()
    assert pages == [["blue", "gold", "red"], ["yellow"]]
    assert [item["itemid"] for item in whole["items"]] == pages[0] + pages[1]


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


async def test_retry_under_a_key_gets_the_first_answer(client: httpx.AsyncClient):
    async def approved() -> bool:
        return (await client.get(location)).json()["status"] == "approved"

    created = [await client.put(CART, headers=key("create")) for _ in range(2)]
    filled = [
        await put(client, "blue", 3, key("fill")),
        await put(client, "red", 1),
        await put(client, "blue", 3, key("fill")),
    ]
    removed = [await client.delete(f"{CART}/items/red", headers=key("remove")) for _ in range(2)]
    closed = [await client.post(f"{CART}:close", headers=key("close")) for _ in range(2)]
    ordered = [await client.post(f"{CART}:checkout", headers=key("checkout")) for _ in range(2)]
    location = ordered[0].headers["location"]
    await eventually(approved)
    ordered.append(await client.post(f"{CART}:checkout", headers=key("checkout")))

    for answers in (created, [filled[0], filled[2]], removed, closed, ordered):
        assert len({(each.status_code, each.text, each.headers.get("location")) for each in answers}) == 1
    assert created[1].status_code == 201
    assert ordered[2].json()["status"] == "pre-approved"


async def test_key_is_the_same_with_and_without_quotes(client: httpx.AsyncClient):
    await client.put(CART)
    await put(client, "blue", 3, key("k"))

    assert (await put(client, "blue", 3, key('"k"'))).status_code == 200
    assert_problem(await put(client, "blue", 4, key('"k"')), 422, "idempotency-key-reused")


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


async def test_failed_request_can_be_retried_under_its_key(client: httpx.AsyncClient):
    await client.put(CART)
    await put(client, "blue", 3)
    assert_problem(await client.post(f"{CART}:checkout", headers=key("k")), 409, "cart-not-closed")

    await client.post(f"{CART}:close")

    assert (await client.post(f"{CART}:checkout", headers=key("k"))).status_code == 202


async def test_concurrent_requests_under_one_key_get_one_answer(suite: Suite, client: httpx.AsyncClient):
    await client.put(CART)
    await put(client, "blue", 3)
    await client.post(f"{CART}:close")
    async with gateway(suite.services.targets) as other:
        answers = await asyncio.gather(
            *(each.post(f"{CART}:checkout", headers=key("k")) for each in [client, other] * 4)
        )

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1


async def test_of_concurrent_different_requests_under_one_key_one_is_rejected(
    suite: Suite, client: httpx.AsyncClient
):
    await client.put(CART)
    async with gateway(suite.services.targets) as other:
        answers = await asyncio.gather(put(client, "blue", 3, key("k")), put(other, "blue", 5, key("k")))

    done, rejected = sorted(answers, key=lambda answer: answer.status_code)
    assert_problem(rejected, 422, "idempotency-key-reused")
    assert (await client.get(CART)).json() == done.json()
