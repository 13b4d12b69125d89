"""The resources, from HTTP to the services and back: carts, orders and the catalogue as clients see them."""

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


async def an_order(client: httpx.AsyncClient, itemid: str = "blue") -> str:
    """Where the order of a cart with three of an item is."""
    await client.put(CART)
    await put(client, itemid, 3)
    await client.post(f"{CART}:close")
    return (await client.post(f"{CART}:checkout")).headers["location"]


async def test_a_cart_is_created_filled_closed_and_checked_out(client: httpx.AsyncClient):
    created, again = await client.put(CART), await client.put(CART)
    filled, changed = await put(client, "blue", 1), await put(client, "blue", 3)
    more, less = await put(client, "red", 2), await client.delete(f"{CART}/items/red")
    closed, seen = await client.post(f"{CART}:close"), await client.get(CART)
    order = await client.post(f"{CART}:checkout")

    empty = {"cartid": "c", "status": "open", "cart_items": []}
    assert (created.status_code, created.headers["location"], created.json()) == (201, CART, empty)
    assert (again.status_code, again.json()) == (200, empty)
    assert filled.json() == empty | {"cart_items": [BLUE | {"count": 1}]}
    assert changed.json() == less.json() == empty | {"cart_items": [BLUE]}
    assert more.json() == empty | {"cart_items": [BLUE, {"itemid": "red", "count": 2}]}
    assert closed.json() == seen.json() == empty | {"status": "closed", "cart_items": [BLUE]}
    orderid = order.json()["orderid"]
    assert (order.status_code, order.headers["location"]) == (202, f"/v1/orders/{orderid}")
    assert order.json() == {"orderid": orderid, "status": "pre-approved", "cart_items": [BLUE]}
    became = (await client.get(CART)).json()
    assert became == {"cartid": "c", "status": "checked-out", "cart_items": [BLUE], "orderid": orderid}


async def test_an_order_is_followed_to_its_end_and_its_history_told(client: httpx.AsyncClient):
    location = await an_order(client)

    async def approved() -> dict | None:
        order = (await client.get(location)).json()
        return order if order["status"] == "approved" else None

    order = await eventually(approved)
    history = (await client.get(f"{location}/history")).json()
    refused = await client.post(f"{location}:cancel")

    assert order["amount"] == 300
    assert history["history"][0]["cause"] == "checkout"
    assert "approved" in [move["status"] for move in history["history"]]
    assert_problem(refused, 409, "order-ended")


async def test_an_order_is_canceled_until_it_has_ended(suite: Suite, client: httpx.AsyncClient):
    await suite.services.stop("stock")
    location = await an_order(client)

    canceled, again = [await client.post(f"{location}:cancel") for _ in range(2)]

    assert (canceled.status_code, canceled.json()["status"], canceled.json()["reason"]) == (
        200,
        "canceled",
        "client",
    )
    assert again.json() == canceled.json()


async def test_an_answer_that_the_client_has_is_not_sent_again(suite: Suite, client: httpx.AsyncClient):
    await suite.services.stop("stock")
    location = await an_order(client)
    tag = (await client.get(location)).headers["etag"]

    known = await client.get(location, headers={"If-None-Match": tag})
    weak = await client.get(location, headers={"If-None-Match": f'"other", W/{tag}'})
    any_ = await client.get(location, headers={"If-None-Match": "*"})
    other = await client.get(location, headers={"If-None-Match": '"other"'})
    await client.post(f"{location}:cancel")
    changed = await client.get(location, headers={"If-None-Match": tag})

    for answer in (known, weak, any_, other):
        assert answer.headers["cache-control"] == "private, no-cache", "ask every time whether it changed"
    for answer in (known, weak, any_):
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert (other.status_code, other.headers["etag"]) == (200, tag)
    assert (changed.status_code, changed.json()["status"]) == (200, "canceled")
    assert changed.headers["etag"] != tag


async def test_the_catalogue_is_read_a_page_at_a_time(client: httpx.AsyncClient):
    pages, token = [], ""
    while not pages or token:
        page = (await client.get("/v1/items", params={"page_size": 3, "page_token": token})).json()
        pages.append([item["itemid"] for item in page["items"]])
        token = page["next_page_token"]

    whole = (await client.get("/v1/items")).json()
    assert pages == [["blue", "gold", "red"], ["yellow"]]
    assert [item["itemid"] for item in whole["items"]] == pages[0] + pages[1]
    assert (await client.get("/v1/items/blue")).json() == whole["items"][0]


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("PUT", "/v1/carts/a%20b", None, "cartid"),
        ("GET", f"/v1/orders/{'x' * 129}", None, "orderid"),
        ("PUT", f"{CART}/items/ü", b'{"count": 3}', "itemid"),
        ("PUT", f"{CART}/items/blue", b'{"count": 0}', "count"),
        ("PUT", f"{CART}/items/blue", b'{"count": "3"}', "count"),
        ("PUT", f"{CART}/items/blue", b'{"count": 3.5}', "count"),
        ("PUT", f"{CART}/items/blue", b'{"count": 1e999}', "count"),
        ("PUT", f"{CART}/items/blue", b'{"count": true}', "count"),
        ("PUT", f"{CART}/items/blue", b"{}", "count"),
        ("PUT", f"{CART}/items/blue", b"", "count"),
        ("PUT", f"{CART}/items/blue", b'{"count": 3, "cartid": "other"}', "cartid"),
        ("POST", f"{CART}:close", b'{"orderid": "x"}', "orderid"),
        ("GET", "/v1/items?page_size=0", None, "page_size"),
        ("GET", "/v1/items?page_size=101", None, "page_size"),
        ("GET", "/v1/items?page_size=many", None, "page_size"),
        ("GET", "/v1/items?page_token=%3A", None, "page_token"),
    ],
)
async def test_a_malformed_request_names_the_field(client: httpx.AsyncClient, method, path, body, field):
    await client.put(CART)

    problem = assert_problem(await client.request(method, path, content=body), 400, "invalid-argument")

    assert [error["field"] for error in problem["errors"]] == [field]


async def test_a_count_is_an_integer_as_json_schema_has_it(client: httpx.AsyncClient):
    await client.put(CART)

    answer = await client.put(f"{CART}/items/blue", content=b'{"count": 3.0}')

    assert answer.json()["cart_items"] == [BLUE]


async def test_a_body_that_is_no_json_is_refused(client: httpx.AsyncClient):
    assert_problem(await client.put(f"{CART}/items/blue", content=b"count=3"), 400, "malformed-json")


@pytest.mark.parametrize(
    ("method", "path", "reason"),
    [
        ("GET", CART, "unknown-cart"),
        ("DELETE", f"{CART}/items/blue", "unknown-cart"),
        ("POST", f"{CART}:close", "unknown-cart"),
        ("POST", f"{CART}:checkout", "unknown-cart"),
        ("GET", "/v1/orders/none", "unknown-order"),
        ("GET", "/v1/orders/none/history", "unknown-order"),
        ("POST", "/v1/orders/none:cancel", "unknown-order"),
        ("GET", "/v1/items/none", "unknown-item"),
        ("GET", "/v1/carts", "not-found"),
        ("GET", "/v1/carts/a:b:close", "not-found"),
    ],
)
async def test_what_is_not_there_is_not_found(client: httpx.AsyncClient, method, path, reason):
    assert_problem(await client.request(method, path), 404, reason)


async def test_what_the_state_of_a_cart_forbids_is_a_conflict(client: httpx.AsyncClient):
    await client.put(CART)
    not_closed = await client.post(f"{CART}:checkout")
    await client.post(f"{CART}:close")
    closed, empty = await put(client, "blue", 3), await client.post(f"{CART}:checkout")

    assert_problem(not_closed, 409, "cart-not-closed")
    assert_problem(closed, 409, "cart-not-open")
    assert_problem(empty, 409, "cart-empty")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", CART, "GET, PUT"),
        ("GET", f"{CART}:close", "POST"),
        ("PATCH", f"{CART}/items/blue", "DELETE, PUT"),
        ("DELETE", "/v1/items", "GET"),
    ],
)
async def test_a_method_that_a_resource_has_not_is_refused_naming_all_it_has(
    client: httpx.AsyncClient, method, path, allowed
):
    answer = await client.request(method, path)

    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == allowed


async def test_a_repeat_under_a_key_is_answered_as_the_first_was(client: httpx.AsyncClient):
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
    await eventually(lambda: ends(client, location))
    ordered.append(await client.post(f"{CART}:checkout", headers=key("checkout")))

    for answers in (created, [filled[0], filled[2]], removed, closed, ordered):
        assert {(answer.status_code, answer.text, answer.headers.get("location")) for answer in answers} == {
            (answers[0].status_code, answers[0].text, answers[0].headers.get("location"))
        }
    assert created[1].status_code == 201
    assert ordered[2].json()["status"] == "pre-approved"


async def ends(client: httpx.AsyncClient, location: str) -> bool:
    return (await client.get(location)).json()["status"] == "approved"


async def test_a_key_is_the_same_in_quotes_and_without(client: httpx.AsyncClient):
    await client.put(CART)
    await put(client, "blue", 3, key("k"))

    assert (await put(client, "blue", 3, key('"k"'))).status_code == 200
    assert_problem(await put(client, "blue", 4, key('"k"')), 422, "idempotency-key-reused")


async def test_another_request_under_a_key_is_refused(client: httpx.AsyncClient):
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


async def test_what_failed_may_be_tried_again_under_its_key(client: httpx.AsyncClient):
    await client.put(CART)
    await put(client, "blue", 3)
    assert_problem(await client.post(f"{CART}:checkout", headers=key("k")), 409, "cart-not-closed")

    await client.post(f"{CART}:close")

    assert (await client.post(f"{CART}:checkout", headers=key("k"))).status_code == 202


@pytest.mark.parametrize("value", ["", '""', '"a', "a b", "x" * 129, "é", "a:b"])
async def test_a_malformed_key_is_refused(client: httpx.AsyncClient, value):
    answer = await client.put(CART, headers={"Idempotency-Key": value.encode("latin-1")})

    problem = assert_problem(answer, 400, "invalid-argument")
    assert [error["field"] for error in problem["errors"]] == ["Idempotency-Key"]


async def test_two_keys_are_none(client: httpx.AsyncClient):
    answer = await client.put(CART, headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")])

    assert_problem(answer, 400, "invalid-argument")


async def test_two_clients_that_race_on_one_key_both_hear_what_the_winner_did(
    suite: Suite, client: httpx.AsyncClient
):
    await client.put(CART)
    await put(client, "blue", 3)
    await client.post(f"{CART}:close")
    async with gateway(suite.services.targets) as other:
        answers = await asyncio.gather(
            *(each.post(f"{CART}:checkout", headers=key("k")) for each in [client, other] * 4)
        )

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1


async def test_of_two_clients_with_different_bodies_under_one_key_one_is_refused(
    suite: Suite, client: httpx.AsyncClient
):
    await client.put(CART)
    async with gateway(suite.services.targets) as other:
        answers = await asyncio.gather(put(client, "blue", 3, key("k")), put(other, "blue", 5, key("k")))

    done, refused = sorted(answers, key=lambda answer: answer.status_code)
    assert_problem(refused, 422, "idempotency-key-reused")
    assert (await client.get(CART)).json() == done.json()
