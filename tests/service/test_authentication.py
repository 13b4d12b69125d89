"""Authentication over the whole suite."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from functools import partial

import grpc
import pytest

from contract.topology import TOPOLOGY
from rpc import delivery_pb2 as delivery_pb
from rpc import payment_pb2 as payment_pb
from rpc import purchase_pb2 as pb
from rpc import stock_pb2 as stock_pb
from sagakit.auth.jwt import MAX_LENGTH
from sagakit.backends import open_provisioner
from sagakit.bus import SubscriptionSpec
from sagakit.testing.contracts.brokers import Listener
from tests.service.gateway_harness import assert_problem
from tests.support.auth_suite import AuthSuite, an_auth_suite, bearer, found, order
from tests.support.eventually import eventually
from tests.support.sse import follow


@pytest.fixture
async def suite(tmp_path) -> AsyncIterator[AuthSuite]:
    async with an_auth_suite(tmp_path) as suite:
        yield suite


async def test_order_of_an_authenticated_caller_is_approved(suite: AuthSuite):
    orderid = await order(suite, "alice", "c-1")
    me = suite.as_("alice")
    assert uuid.UUID(orderid).version == 4, "the orderid can be guessed"

    async def approved() -> bool:
        response = await suite.client.get(f"/v1/orders/{orderid}", headers=me)
        return response.json()["status"] == "approved"

    await eventually(approved, 20)
    for path in ("/payment/api/get_payment", "/delivery/api/get_delivery", "/purchase/api/get_order_history"):
        assert await eventually(partial(found, suite.client, path, orderid, me), 20)


# Invalid tokens of every kind are in kit/tests/unit/test_tokens.py.
TOKENS = {
    "none": lambda issuer: {},
    "another scheme": lambda issuer: {"Authorization": "Basic YWxpY2U6YWxpY2U="},
    "nothing after the scheme": lambda issuer: {"Authorization": "Bearer "},
    "expired": lambda issuer: bearer(issuer.token(exp=time.time() - 60)),
    "alg none": lambda issuer: bearer("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9."),
}


async def test_gateway_rejects_requests_without_one_valid_token(suite: AuthSuite):
    two = [("Authorization", f"Bearer {suite.issuer.token(sub)}") for sub in ("alice", "bob")]
    for headers in (*(make(suite.issuer) for make in TOKENS.values()), two):
        for method, path in (
            ("GET", "/v1/items"),
            ("PUT", "/v1/carts/c-1"),
            ("GET", "/v1/orders/0/events"),
            ("POST", "/purchase/api/create_cart"),
            ("GET", "/no/such/path"),
            ("GET", "/ui/services"),
            ("POST", "/ui/services/stock:stop"),
        ):
            response = await suite.client.request(method, path, headers=headers)

            assert_problem(response, 401, "unauthenticated")
            assert response.headers["www-authenticate"].startswith("Bearer")


async def test_longest_token_is_accepted_by_every_service(suite: AuthSuite):
    """gRPC's own limit of metadata is lower, and rejects at random what is between its soft and hard one."""
    shortest = len(suite.issuer.token("alice", groups=""))
    longest = suite.issuer.token("alice", groups="x" * ((MAX_LENGTH - shortest) * 3 // 4 - 3))
    assert MAX_LENGTH - 8 < len(longest) <= MAX_LENGTH

    answers = [await suite.client.get("/v1/items/blue", headers=bearer(longest)) for _ in range(20)]
    cart = await suite.client.put("/v1/carts/c-long", headers=bearer(longest))

    assert {answer.status_code for answer in answers} == {200}
    assert cart.status_code == 201


async def test_challenge_has_an_error_code_only_if_there_is_a_token(suite: AuthSuite):
    """RFC 6750, section 3.1."""
    challenges = {
        name: (await suite.client.get("/v1/items", headers=make(suite.issuer))).headers["www-authenticate"]
        for name, make in TOKENS.items()
    }

    without = ("none", "another scheme", "nothing after the scheme")
    assert challenges == {
        name: "Bearer" if name in without else 'Bearer error="invalid_token"' for name in TOKENS
    }


async def test_problem_names_algorithms_as_they_are_spelled(suite: AuthSuite):
    response = await suite.client.get("/v1/items", headers=TOKENS["alg none"](suite.issuer))

    assert response.json()["detail"] == "The token must be signed with one of RS256, ES256."


async def test_probes_documentation_and_web_ui_need_no_token(suite: AuthSuite):
    files = ("/ui/services.js", "/openapi.json", "/asyncapi.json", "/ui/config")
    pages = ("/", "/healthz", "/readyz", "/docs", "/ui", *files)
    responses = {path: await suite.client.get(path) for path in pages}

    assert {response.status_code for response in responses.values()} == {200}
    assert responses["/openapi.json"].json()["security"] == [{"bearer": []}]
    assert responses["/ui/config"].json()["sign_in"] is True


async def test_services_reject_calls_without_a_valid_token(suite: AuthSuite):
    """A caller that bypasses the gateway needs a token too; headers that name a user are ignored."""
    running = suite.running
    calls = (
        (running.purchase.CreateCart, pb.CreateCartRequest(cartid="c-1")),
        (running.stock.GetItem, stock_pb.GetItemRequest(itemid="blue")),
        (running.payment.GetPayment, payment_pb.GetPaymentRequest(orderid="1")),
        (running.delivery.GetDelivery, delivery_pb.GetDeliveryRequest(orderid="1")),
    )
    for headers in TOKENS.values():
        value = headers(suite.issuer).get("Authorization")
        sent = (("x-user", "alice"), ("sub", "alice"), *((("authorization", value),) if value else ()))
        for call, request in calls:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await call(request, metadata=sent)
            assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_services_reject_calls_with_two_tokens(suite: AuthSuite):
    """Proxies differ in which of two tokens they read."""
    alice, bob = (suite.issuer.token(sub) for sub in ("alice", "bob"))
    for tokens in ([alice, bob], [alice, alice], [alice, "nonsense"]):
        sent = tuple(("authorization", f"Bearer {token}") for token in tokens)

        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await suite.running.purchase.CreateCart(pb.CreateCartRequest(cartid="c-1"), metadata=sent)

        assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_stream_ends_when_its_token_expires(suite: AuthSuite):
    await suite.running.services.stop("payment")
    orderid = await order(suite, "alice", "c-1")
    await suite.wait_until_reserved(orderid)
    suite.client.headers = suite.as_("alice", exp=time.time() + 3)

    async with asyncio.timeout(20):
        sent = await follow(suite.client, orderid)

    assert [each.key for each in sent] == ["purchase.pre-approved", "stock.reserved"]
    response = await suite.client.get(f"/v1/orders/{orderid}/events", headers=suite.as_("alice", exp=1))
    assert_problem(response, 401, "unauthenticated")


async def test_events_contain_nothing_of_the_caller(suite: AuthSuite):
    listener = Listener()
    async with open_provisioner(suite.backend) as provisioner:
        for topic in TOPOLOGY.topics.values():
            await provisioner.ensure_subscription(SubscriptionSpec(f"listener.{topic}", topic, None))
    for topic in TOPOLOGY.topics.values():
        suite.running.backend.bus.subscribe(f"listener.{topic}", listener, 100)

    await order(suite, "alice-in-wonderland", "c-1")

    await listener.has(5)
    for delivery in listener.deliveries:
        sent = delivery.message.data + repr(delivery.message.attributes).encode()
        assert b"alice" not in sent
        assert b"earer" not in sent
