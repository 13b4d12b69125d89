"""Requests passed on to services, and limits of bodies and concurrency. Golden files hold the rest."""

import asyncio
from uuid import UUID

import pytest

from rpc import purchase_pb2
from services.gateway.arrivals import MAX_BODY_BYTES
from services.gateway.clients import NEEDED
from tests.service.gateway_harness import assert_problem, fakes, gateway, suite, targets_of
from tests.support.eventually import eventually

CREATE_CART = "/purchase/api/create_cart"
ADD_ITEM = "/purchase/api/add_item"
AN_ITEM = {"cartid": "1", "itemid": "blue", "count": 3}
OPEN_CART = purchase_pb2.CreateCartResponse(cart={"cartid": "1234567", "status": "open"})


async def test_optional_fields_are_left_out_if_unset_and_written_if_zero():
    bare = {"orderid": "o", "status": "pre-approved", "cart_items": []}
    failed = {**bare, "status": "reserve-failed", "amount": 0, "reason": "sold-out"}
    answers = [purchase_pb2.GetOrderTicketResponse(order_ticket=each) for each in (bare, failed)]
    async with suite(GetOrderTicket=answers) as (client, _):
        first, second = [
            await client.post("/purchase/api/get_order_ticket", json={"orderid": "o"}) for _ in range(2)
        ]

    assert (first.json(), second.json()) == ({"order_ticket": bare}, {"order_ticket": failed})


async def test_carts_are_served_while_payment_and_delivery_are_unavailable():
    async with fakes(CreateCart=[OPEN_CART]) as services:
        needed = [service for service in services.values() if service.name in NEEDED]
        async with gateway(targets_of(needed)) as client:
            created = await client.post(CREATE_CART, json={"cartid": "1234567"})
            unavailable = await client.post("/payment/api/get_payment", json={"orderid": "o"})

    assert created.status_code == 200
    assert_problem(unavailable, 503, "unavailable")


async def test_add_item_without_commandid_gets_a_new_one():
    async with suite() as (client, purchase):
        for _ in range(2):
            await client.post(ADD_ITEM, json=AN_ITEM)

    first, second = (request.commandid for _, request in purchase.asked)
    assert str(UUID(first)) == first
    assert first != second


@pytest.mark.parametrize(
    "body",
    [
        b" ",
        b"{'cartid':'1'}",
        b'{"cartid":"1",}',
        b'{"cartid":"\\ud800"}',
        b'{"\\ud800":"1"}',
        b'{"cartid":' + b"9" * 5_000 + b"}",
        b'{"cartid":' * 6_000,
        '{"cartid":"1"}'.encode("utf-16"),
    ],
    ids=lambda body: repr(body[:20]),
)
async def test_body_that_is_no_json_object_is_rejected(body):
    async with suite() as (client, purchase):
        problem = assert_problem(await client.post(CREATE_CART, content=body), 400, "malformed-json")

    assert "body" in problem["detail"]
    assert purchase.asked == []


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (CREATE_CART, '{"cartid":"1","x":{"y":[NaN]}}', "x"),
        (CREATE_CART, '{"cartid":"a\\u0000"}', "cartid"),
        (ADD_ITEM, '{"cartid":"1","itemid":"blue","count":3e0}', "count"),
        (ADD_ITEM, '{"cartid":"1","itemid":"blue","count":Infinity}', "count"),
        (ADD_ITEM, '{"cartid":"1","itemid":"blue","count":3,"count":"3"}', "count"),
        (ADD_ITEM, '{"cartid":"1","itemid":"blue","count":3,"commandid":""}', "commandid"),
    ],
)
async def test_invalid_field_is_named(path, body, field):
    async with suite() as (client, purchase):
        problem = assert_problem(await client.post(path, content=body.encode()), 400, "invalid-argument")

    assert [error["field"] for error in problem["errors"]] == [field]
    assert purchase.asked == []


async def test_many_invalid_fields_get_a_short_answer():
    body = {f"{number}{'x' * 200}": 1 for number in range(200)}
    async with suite() as (client, _):
        response = await client.post(CREATE_CART, json=body)

    assert_problem(response, 400, "invalid-argument")
    assert len(response.content) < 5_000


@pytest.mark.parametrize("path", ["carts", "orders", "items"])
@pytest.mark.parametrize("segment", ["%2E", "%2E%2E", "%2e."])
async def test_segment_that_clients_and_proxies_remove_is_no_id(path, segment):
    async with suite() as (client, _):
        answer = await client.get(f"/v1/{path}/{segment}")

    assert_problem(answer, 400, "invalid-argument")


@pytest.mark.parametrize("cartid", [*"a_~-Z9", "a.", ".a", "...", "a" * 128])
async def test_every_allowed_id_is_accepted(cartid):
    async with suite() as (client, _):
        assert (await client.post(CREATE_CART, json={"cartid": cartid})).status_code == 200


@pytest.mark.parametrize("count", [1, 1_000_000])
async def test_smallest_and_largest_count_are_accepted(count):
    async with suite() as (client, purchase):
        response = await client.post(ADD_ITEM, json={**AN_ITEM, "count": count})

    assert response.status_code == 200
    assert purchase.asked[0][1].count == count


@pytest.mark.parametrize("path", ["/", "/nowhere"])
async def test_content_length_over_the_limit_is_rejected_at_every_path(path):
    async with suite() as (client, _):
        response = await client.post(path, content=b" " * (MAX_BODY_BYTES + 1))

    assert_problem(response, 413, "body-too-large")


async def test_endless_body_is_rejected_once_it_exceeds_the_limit():
    sent = 0

    async def endless():
        nonlocal sent
        while True:
            sent += 1024
            yield b" " * 1024

    async with suite() as (client, _):
        response = await client.post(CREATE_CART, content=endless())

    assert_problem(response, 413, "body-too-large")
    assert sent <= MAX_BODY_BYTES + 2 * 1024


@pytest.mark.parametrize("chunked", [False, True])
async def test_body_of_exactly_the_limit_is_accepted(chunked):
    body = b'{"cartid":"1"}'.ljust(MAX_BODY_BYTES)

    async def chunks():
        yield body[:10]
        yield body[10:]

    async with suite() as (client, _):
        response = await client.post(CREATE_CART, content=chunks() if chunked else body)

    assert response.status_code == 200


@pytest.mark.parametrize(("method", "path"), [("POST", CREATE_CART), ("GET", "/v1/items/blue")])
async def test_body_that_does_not_arrive_in_time_is_a_408(method, path):
    async def stuck():
        yield b"{"
        await asyncio.Event().wait()

    async with suite(timeout_seconds=0.05) as (client, _):
        response = await client.request(method, path, content=stuck())

    assert_problem(response, 408, "request-timeout")


@pytest.mark.parametrize("path", ["/purchase/api", "/%00", "/v1/orders", "/v1/carts/a:b:close"])
async def test_unknown_path_is_not_found(path):
    async with suite() as (client, _):
        assert_problem(await client.get(path), 404, "not-found")


async def test_requests_over_the_concurrency_limit_are_rejected_except_probes():
    release = asyncio.Event()

    async def hold():
        await release.wait()
        return OPEN_CART

    async with suite(CreateCart=[hold], limit=1) as (client, purchase):
        first = asyncio.create_task(client.post(CREATE_CART, json={"cartid": "1"}))
        await eventually(lambda: purchase.asked)

        rejected = await client.get("/")
        probes = [await client.get(path) for path in ("/healthz", "/readyz", "/readyz?all=true")]
        release.set()
        finished = await first
        after = await client.get("/")

    assert_problem(rejected, 503, "overloaded")
    assert rejected.headers["retry-after"] == "1"
    assert {each.status_code for each in (*probes, finished, after)} == {200}


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
async def test_changes_with_a_precondition_are_rejected_and_not_made(header):
    async with suite() as (client, purchase):
        paths = (await client.get("/openapi.json")).json()["paths"]
        changes = [
            (method, path.format(cartid="c", orderid="o", itemid="i"))
            for path, methods in paths.items()
            for method in methods
            if path.startswith("/v1/") and method != "get"
        ]
        answers = [
            await client.request(
                method, path, json={"count": 1} if path.endswith("/i") else {}, headers={header: '"seen"'}
            )
            for method, path in changes
        ]

    assert len(changes) == 7
    for answer in answers:
        assert_problem(answer, 400, "preconditions-unsupported")
    assert purchase.asked == []
