"""The gateway: what it takes, what it passes on, what it answers, what it refuses."""

import asyncio
from uuid import UUID

import pytest

from rpc import delivery_pb2, payment_pb2, purchase_pb2, stock_pb2
from services.gateway.clients import NEEDED
from services.gateway.edge import MAX_BODY_BYTES
from services.gateway.operations import OPERATIONS
from tests.service.gateway_harness import assert_problem, fakes, gateway, suite, targets_of, until

CREATE_CART = "/purchase/api/create_cart"
ADD_ITEM = "/purchase/api/add_item"
LIST_ITEMS = "/stock/api/list_items"
OPEN_CART = purchase_pb2.CreateCartResponse(cart={"cartid": "1234567", "status": "open"})


async def test_the_root_says_who_it_is():
    async with suite() as (client, _):
        response = await client.get("/")

    assert response.text == "api-gateway"
    assert response.headers["content-type"].startswith("text/plain")


async def test_a_message_goes_in_and_a_message_comes_out():
    async with suite(CreateCart=[OPEN_CART]) as (client, purchase):
        response = await client.post(CREATE_CART, json={"cartid": "1234567"})

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.text == '{"cart":{"cartid":"1234567","status":"open"}}'
    assert purchase.asked == [("CreateCart", purchase_pb2.CreateCartRequest(cartid="1234567"))]


async def test_counts_are_json_numbers_and_items_stay_in_order():
    items = [{"itemid": "red", "count": 2}, {"itemid": "blue", "count": 3}]
    async with suite(AddItem=[purchase_pb2.AddItemResponse(cart_items=items)]) as (client, _):
        response = await client.post(ADD_ITEM, json={"cartid": "1", "itemid": "red", "count": 2})

    assert response.json() == {"cart_items": items}


async def test_amount_and_reason_are_shown_only_where_set():
    bare = {"orderid": "o", "status": "pre-approved", "cart_items": []}
    failed = {**bare, "status": "reserve-failed", "amount": 0, "reason": "sold-out"}
    answers = [
        purchase_pb2.GetOrderTicketResponse(order_ticket=bare),
        purchase_pb2.GetOrderTicketResponse(order_ticket=failed),
    ]
    async with suite(GetOrderTicket=answers) as (client, _):
        first = await client.post("/purchase/api/get_order_ticket", json={"orderid": "o"})
        second = await client.post("/purchase/api/get_order_ticket", json={"orderid": "o"})

    assert first.json() == {"order_ticket": bare}
    assert second.json() == {"order_ticket": failed}


async def test_canceling_passes_the_order_on_and_answers_its_ticket():
    ticket = {"orderid": "o", "status": "canceled", "cart_items": [], "reason": "client"}
    answer = purchase_pb2.CancelOrderResponse(order_ticket=ticket)
    async with suite(CancelOrder=[answer]) as (client, purchase):
        response = await client.post("/purchase/api/cancel_order", json={"orderid": "o"})

    assert response.json() == {"order_ticket": ticket}
    assert purchase.asked == [("CancelOrder", purchase_pb2.CancelOrderRequest(orderid="o"))]


async def test_a_history_keeps_its_order_and_shows_an_event_only_where_one_was_the_cause():
    history = [
        {"status": "pre-approved", "time": "t1", "cause": "checkout"},
        {"status": "reserved", "time": "t2", "cause": "reserved", "eventid": "e"},
    ]
    answer = purchase_pb2.GetOrderHistoryResponse(orderid="o", history=history)
    async with suite(GetOrderHistory=[answer]) as (client, _):
        response = await client.post("/purchase/api/get_order_history", json={"orderid": "o"})

    assert response.json() == {"orderid": "o", "history": history}


async def test_a_payment_is_asked_of_payment_and_shows_what_is_set():
    declined = {"orderid": "o", "status": "declined", "amount": 7, "refunded": 0, "reason": "r", "time": "t"}
    tombstone = {"orderid": "o", "status": "canceled", "refunded": 0, "time": "t"}
    answers = [payment_pb2.GetPaymentResponse(payment=payment) for payment in (declined, tombstone)]
    async with fakes(GetPayment=answers) as services, gateway(targets_of(services.values())) as client:
        first = await client.post("/payment/api/get_payment", json={"orderid": "o"})
        second = await client.post("/payment/api/get_payment", json={"orderid": "o"})

    assert (first.json(), second.json()) == ({"payment": declined}, {"payment": tombstone})
    assert services["payment"].asked == [("GetPayment", payment_pb2.GetPaymentRequest(orderid="o"))] * 2


async def test_a_delivery_is_asked_of_delivery():
    items = [{"itemid": "red", "count": 2}, {"itemid": "blue", "count": 3}]
    shipment = {"orderid": "o", "status": "arranged", "items": items, "time": "t"}
    answer = delivery_pb2.GetDeliveryResponse(delivery=shipment)
    async with fakes(GetDelivery=[answer]) as services, gateway(targets_of(services.values())) as client:
        response = await client.post("/delivery/api/get_delivery", json={"orderid": "o"})

    assert response.json() == {"delivery": shipment}
    assert services["delivery"].asked == [("GetDelivery", delivery_pb2.GetDeliveryRequest(orderid="o"))]


async def test_carts_are_served_while_payment_and_delivery_are_away():
    async with fakes(CreateCart=[OPEN_CART]) as services:
        there = [service for service in services.values() if service.name in NEEDED]
        async with gateway(targets_of(there)) as client:
            taken = await client.post(CREATE_CART, json={"cartid": "1234567"})
            away = await client.post("/payment/api/get_payment", json={"orderid": "o"})

    assert taken.status_code == 200
    assert_problem(away, 503, "unavailable")


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.rpc.name)
async def test_the_documented_example_of_every_operation_is_accepted(operation):
    async with suite() as (client, _):
        response = await client.post(operation.path, json=operation.example)

    assert response.status_code == 200


async def test_what_the_catalogue_is_seeded_with_cannot_be_reached():
    async with suite() as (client, _):
        for path in ("/stock/api/put_item", "/stock/api/get_reservation"):
            assert_problem(await client.post(path, json={"itemid": "blue"}), 404, "no-such-path")


async def test_a_call_without_a_commandid_is_given_a_new_one():
    body = {"cartid": "1", "itemid": "blue", "count": 3}
    async with suite() as (client, purchase):
        await client.post(ADD_ITEM, json=body)
        await client.post(ADD_ITEM, json=body)

    first, second = (request.commandid for _, request in purchase.asked)
    assert str(UUID(first)) == first
    assert first != second


async def test_the_commandid_of_the_client_is_kept():
    async with suite() as (client, purchase):
        await client.post(ADD_ITEM, json={"cartid": "1", "itemid": "blue", "count": 3, "commandid": "mine"})

    assert purchase.asked[0][1].commandid == "mine"


async def test_page_size_and_token_may_be_left_out():
    item = {"itemid": "blue", "price": 100, "stock": 5, "available": 5}
    answer = stock_pb2.ListItemsResponse(items=[item], next_page_token="blue")
    async with suite(ListItems=[answer]) as (client, _):
        response = await client.post(LIST_ITEMS, json={})

    assert response.json() == {
        "items": [{**item, "reserved": 0, "sold": 0, "waives_payment": False, "shards": 0}],
        "next_page_token": "blue",
    }


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", "x", None])
async def test_a_body_is_json_whatever_its_content_type(content_type):
    headers = {"content-type": content_type} if content_type else {}
    async with suite(CreateCart=[OPEN_CART]) as (client, _):
        response = await client.post(CREATE_CART, content=b'{"cartid":"1234567"}', headers=headers)

    assert response.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"[]",
        b"null",
        b'"1"',
        b"cartid=1",
        b"{'cartid':'1'}",
        b'{"cartid":"1"} {}',
        b'{"cartid":"1",}',
        b'{"cartid":"\xff"}',
        b'{"cartid":"\\ud800"}',
        b'{"\\ud800":"1"}',
        b'{"cartid":' + b"9" * 5_000 + b"}",
        b"[" * 60_000,
        b'{"cartid":' * 6_000,
        '{"cartid":"1"}'.encode("utf-16"),
    ],
    ids=lambda body: repr(body[:20]),
)
async def test_what_is_no_json_object_is_a_malformed_body(body):
    async with suite() as (client, purchase):
        problem = assert_problem(await client.post(CREATE_CART, content=body), 400, "malformed-json")

    assert "body" in problem["detail"]
    assert purchase.asked == []


GOOD = '"cartid":"1","itemid":"blue","count":3'


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (CREATE_CART, "{}", "cartid"),
        (CREATE_CART, '{"cartid":"1","color":"red"}', "color"),
        (CREATE_CART, '{"cartid":"1","x":{"y":[NaN]}}', "x"),
        (CREATE_CART, '{"cartid":1}', "cartid"),
        (CREATE_CART, '{"cartid":null}', "cartid"),
        (CREATE_CART, '{"cartid":["1"]}', "cartid"),
        (CREATE_CART, '{"cartid":""}', "cartid"),
        (CREATE_CART, '{"cartid":"a b"}', "cartid"),
        (CREATE_CART, '{"cartid":"a/b"}', "cartid"),
        (CREATE_CART, '{"cartid":"a\\n"}', "cartid"),
        (CREATE_CART, '{"cartid":"a\\u0000"}', "cartid"),
        (CREATE_CART, '{"cartid":"ä"}', "cartid"),
        (CREATE_CART, '{"cartid":"' + "a" * 129 + '"}', "cartid"),
        ("/purchase/api/get_cart", "{}", "cartid"),
        ("/purchase/api/get_cart_contents", "{}", "cartid"),
        ("/purchase/api/close_cart", "{}", "cartid"),
        ("/purchase/api/checkout", "{}", "cartid"),
        ("/purchase/api/get_order_ticket", '{"orderid":"?"}', "orderid"),
        ("/purchase/api/cancel_order", '{"orderid":"?"}', "orderid"),
        ("/purchase/api/get_order_history", "{}", "orderid"),
        ("/payment/api/get_payment", '{"orderid":1}', "orderid"),
        ("/delivery/api/get_delivery", '{"orderid":"o","itemid":"blue"}', "itemid"),
        ("/purchase/api/remove_item", '{"cartid":"1"}', "itemid"),
        ("/stock/api/get_item", '{"itemid":"?"}', "itemid"),
        (ADD_ITEM, '{"cartid":"1","itemid":"blue"}', "count"),
        *[
            (ADD_ITEM, '{"cartid":"1","itemid":"blue","count":' + count + "}", "count")
            for count in (
                '"3"',
                "3.0",
                "3e0",
                "true",
                "null",
                "NaN",
                "Infinity",
                "0",
                "-1",
                "1000001",
                "9" * 4_000,
            )
        ],
        (ADD_ITEM, "{" + GOOD + ',"commandid":"?"}', "commandid"),
        (ADD_ITEM, "{" + GOOD + ',"commandid":""}', "commandid"),
        (ADD_ITEM, "{" + GOOD + ',"count":"3"}', "count"),
        (LIST_ITEMS, '{"page_size":-1}', "page_size"),
        (LIST_ITEMS, '{"page_size":101}', "page_size"),
        (LIST_ITEMS, '{"page_size":"1"}', "page_size"),
        (LIST_ITEMS, '{"page_token":1}', "page_token"),
    ],
)
async def test_a_bad_field_is_named(path, body, field):
    async with suite() as (client, purchase):
        problem = assert_problem(await client.post(path, content=body.encode()), 400, "invalid-argument")

    assert [error["field"] for error in problem["errors"]] == [field]
    assert problem["detail"] == f"{field}: {problem['errors'][0]['message']}"
    assert purchase.asked == []


async def test_every_bad_field_is_named():
    async with suite() as (client, _):
        response = await client.post(ADD_ITEM, json={"cartid": "?", "count": 0, "more": 1})

    errors = assert_problem(response, 400, "invalid-argument")["errors"]
    assert {error["field"] for error in errors} == {"cartid", "itemid", "count", "more"}


async def test_a_body_of_nothing_but_bad_fields_gets_a_short_answer():
    body = {f"{number}{'x' * 200}": 1 for number in range(200)}
    async with suite() as (client, _):
        response = await client.post(CREATE_CART, json=body)

    assert_problem(response, 400, "invalid-argument")
    assert len(response.content) < 5_000


@pytest.mark.parametrize("length", [1, 128])
@pytest.mark.parametrize("characters", ["a", ".", "_", "~", "-", "Z", "9"])
async def test_ids_may_use_what_the_contract_allows(length, characters):
    async with suite() as (client, _):
        response = await client.post(CREATE_CART, json={"cartid": characters * length})

    assert response.status_code == 200


@pytest.mark.parametrize("count", [1, 1_000_000])
async def test_counts_go_from_one_to_a_million(count):
    async with suite() as (client, purchase):
        response = await client.post(ADD_ITEM, json={"cartid": "1", "itemid": "blue", "count": count})

    assert response.status_code == 200
    assert purchase.asked[0][1].count == count


@pytest.mark.parametrize("path", [CREATE_CART, "/", "/nowhere"])
async def test_a_body_that_announces_more_than_the_limit_is_refused(path):
    async with suite() as (client, _):
        response = await client.post(path, content=b" " * (MAX_BODY_BYTES + 1))

    assert_problem(response, 413, "body-too-large")


async def test_a_body_that_never_ends_is_refused_as_soon_as_it_passes_the_limit():
    given = 0

    async def endless():
        nonlocal given
        while True:
            given += 1024
            yield b" " * 1024

    async with suite() as (client, _):
        response = await client.post(CREATE_CART, content=endless())

    assert_problem(response, 413, "body-too-large")
    assert given <= MAX_BODY_BYTES + 2 * 1024


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_of_exactly_the_limit_is_taken(chunked):
    body = b'{"cartid":"1"}'.ljust(MAX_BODY_BYTES)

    async def chunks():
        yield body[:10]
        yield body[10:]

    async with suite() as (client, _):
        response = await client.post(CREATE_CART, content=chunks() if chunked else body)

    assert response.status_code == 200


async def test_a_body_that_does_not_arrive_in_time_is_given_up():
    async def stuck():
        yield b"{"
        await asyncio.Event().wait()

    async with suite(timeout_seconds=0.05) as (client, _):
        response = await client.post(CREATE_CART, content=stuck())

    assert_problem(response, 408, "body-too-slow")


@pytest.mark.parametrize(
    "path", ["/nowhere", "/purchase/api/create_cart/", "/purchase/api", "/%00", "/redoc"]
)
async def test_an_unknown_path_is_a_problem(path):
    async with suite() as (client, _):
        assert_problem(await client.get(path), 404, "no-such-path")


@pytest.mark.parametrize(("method", "path"), [("GET", CREATE_CART), ("DELETE", CREATE_CART), ("POST", "/")])
async def test_a_wrong_method_is_a_problem(method, path):
    async with suite() as (client, _):
        response = await client.request(method, path)

    assert_problem(response, 405, "method-not-allowed")
    assert response.headers["allow"]


async def test_one_request_too_many_is_sent_away_and_probes_are_not():
    release = asyncio.Event()

    async def held():
        await release.wait()
        return OPEN_CART

    async with suite(CreateCart=[held], limit=1) as (client, purchase):
        first = asyncio.create_task(client.post(CREATE_CART, json={"cartid": "1"}))
        await until(lambda: asyncio.sleep(0, bool(purchase.asked)))

        refused = await client.get("/")
        probes = [await client.get(path) for path in ("/healthz", "/readyz", "/readyz?all=true")]
        release.set()
        finished = await first
        after = await client.get("/")

    assert_problem(refused, 503, "overloaded")
    assert refused.headers["retry-after"] == "1"
    assert [probe.status_code for probe in probes] == [200, 200, 200]
    assert finished.status_code == 200
    assert after.status_code == 200
