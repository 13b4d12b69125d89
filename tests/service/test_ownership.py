"""Ownership over the whole suite: carts, orders and records are for their owner, and for operators."""

from collections.abc import AsyncIterator

import grpc
import pytest

from rpc import delivery_pb2 as delivery_pb
from rpc import payment_pb2 as payment_pb
from rpc import stock_pb2 as stock_pb
from tests.service.gateway_harness import assert_problem
from tests.support.auth_suite import SCOPE, AuthSuite, an_auth_suite, found, metadata, order
from tests.support.eventually import eventually


@pytest.fixture
async def suite(tmp_path) -> AsyncIterator[AuthSuite]:
    async with an_auth_suite(tmp_path) as suite:
        yield suite


async def test_other_callers_cart_is_not_found(suite: AuthSuite):
    alice, bob = suite.as_("alice"), suite.as_("bob")
    await suite.client.put("/v1/carts/c-1", headers=alice)
    await suite.client.put("/v1/carts/c-1/items/blue", json={"count": 3}, headers=alice)

    for method, path, body in (
        ("GET", "/v1/carts/c-1", None),
        ("PUT", "/v1/carts/c-1", None),
        ("PUT", "/v1/carts/c-1/items/blue", {"count": 1}),
        ("DELETE", "/v1/carts/c-1/items/blue", None),
        ("POST", "/v1/carts/c-1:close", None),
        ("POST", "/v1/carts/c-1:checkout", None),
    ):
        response = await suite.client.request(method, path, json=body, headers=bob)
        assert_problem(response, 404, "unknown-cart")
    for method in ("get_cart", "create_cart", "close_cart", "checkout", "get_cart_contents"):
        response = await suite.client.post(f"/purchase/api/{method}", json={"cartid": "c-1"}, headers=bob)
        assert_problem(response, 404, "unknown-cart")
    mine = (await suite.client.get("/v1/carts/c-1", headers=alice)).json()
    assert mine == {"cartid": "c-1", "status": "open", "cart_items": [{"itemid": "blue", "count": 3}]}


async def test_same_key_of_two_callers_opens_two_carts(suite: AuthSuite):
    carts = [
        await suite.client.post("/v1/carts", headers={**suite.as_(sub), "Idempotency-Key": "k-1"})
        for sub in ("alice", "bob", "alice")
    ]

    assert [cart.status_code for cart in carts] == [201] * 3
    alices, bobs, again = (cart.json()["cartid"] for cart in carts)
    assert alices == again != bobs


async def test_idempotency_key_of_another_caller_returns_nothing_of_theirs(
    suite: AuthSuite,
):
    alice, bob = suite.as_("alice"), suite.as_("bob")
    cart, item = "/v1/carts/c-1", "/v1/carts/c-1/items/blue"
    await suite.client.put(cart, headers={**alice, "Idempotency-Key": "k-1"})
    await suite.client.put(item, json={"count": 3}, headers={**alice, "Idempotency-Key": "k-2"})

    for path, key, body in (
        (cart, "k-1", None),
        (item, "k-2", {"count": 3}),
        (item, "k-2", {"count": 4}),
    ):
        response = await suite.client.put(path, json=body, headers={**bob, "Idempotency-Key": key})
        assert_problem(response, 404, "unknown-cart")


async def test_other_callers_order_is_not_found(suite: AuthSuite):
    orderid = await order(suite, "alice", "c-1")
    alice, bob = suite.as_("alice"), suite.as_("bob")
    await eventually(lambda: found(suite.client, "/payment/api/get_payment", orderid, alice), 20)
    await eventually(lambda: found(suite.client, "/delivery/api/get_delivery", orderid, alice), 20)

    for method, path in (
        ("GET", f"/v1/orders/{orderid}"),
        ("GET", f"/v1/orders/{orderid}/history"),
        ("GET", f"/v1/orders/{orderid}/events"),
        ("POST", f"/v1/orders/{orderid}:cancel"),
    ):
        response = await suite.client.request(method, path, headers=bob)
        assert_problem(response, 404, "unknown-order")
    for path in (
        "/purchase/api/get_order_ticket",
        "/purchase/api/get_order_history",
        "/purchase/api/cancel_order",
        "/payment/api/get_payment",
        "/delivery/api/get_delivery",
    ):
        response = await suite.client.post(path, json={"orderid": orderid}, headers=bob)
        assert_problem(response, 404, "unknown-order")


async def test_records_of_an_order_are_for_its_owner_and_operators(suite: AuthSuite):
    """Not only through the gateway: every service recognizes the owner."""
    orderid = await order(suite, "alice", "c-1")
    alice = suite.as_("alice")
    await eventually(lambda: found(suite.client, "/payment/api/get_payment", orderid, alice), 20)
    await eventually(lambda: found(suite.client, "/delivery/api/get_delivery", orderid, alice), 20)
    running = suite.running
    calls = {
        running.payment.GetPayment: payment_pb.GetPaymentRequest(orderid=orderid),
        running.delivery.GetDelivery: delivery_pb.GetDeliveryRequest(orderid=orderid),
        running.stock.GetReservation: stock_pb.GetReservationRequest(orderid=orderid),
    }

    for call, request in calls.items():
        assert await call(request, metadata=metadata(suite.issuer.token("alice")))
        assert await call(request, metadata=metadata(suite.issuer.token("root", scope=SCOPE)))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(request, metadata=metadata(suite.issuer.token("bob")))
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND


async def test_operator_sees_every_cart_and_order(suite: AuthSuite):
    orderid = await order(suite, "alice", "c-1")
    operator = suite.as_("root", scope=SCOPE)

    for path in ("/v1/carts/c-1", f"/v1/orders/{orderid}"):
        assert (await suite.client.get(path, headers=operator)).status_code == 200


async def test_only_operators_change_the_catalogue(suite: AuthSuite):
    request = stock_pb.PutItemRequest(itemid="green", price=1, stock=1)

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await suite.running.stock.PutItem(request, metadata=metadata(suite.issuer.token("alice")))
    operator = metadata(suite.issuer.token("root", scope=SCOPE))
    put = await suite.running.stock.PutItem(request, metadata=operator)

    assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert put.item.itemid == "green"
