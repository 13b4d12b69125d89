"""Authentication and ownership over the whole suite."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import grpc
import httpx
import pytest

from contract.topology import TOPICS
from rpc import delivery_pb2 as delivery_pb
from rpc import payment_pb2 as payment_pb
from rpc import purchase_pb2 as pb
from rpc import stock_pb2 as stock_pb
from sagakit.auth.jwt import MAX_LENGTH, TokenVerifier
from sagakit.backends import open_provisioner
from sagakit.bus import SubscriptionSpec
from sagakit.runtime import Runtime
from sagakit.settings import AuthSettings
from services.gateway.app import Lifecycle, create_app
from services.gateway.clients import Clients
from services.gateway.middleware import MiddlewareConfig
from services.gateway.order_feed.feed import OrderFeeds
from services.gateway.order_feed.snapshot import SnapshotReader
from services.gateway.settings import StreamLimits
from tests.service.gateway_harness import WAIT_SECONDS, assert_problem, client_of
from tests.support.brokers import Listener
from tests.support.eventually import eventually
from tests.support.issuer import Issuer, an_issuer
from tests.support.sse import follow
from tests.support.suite import Suite, running_suite

SCOPE = "saga.operator"


@dataclass
class AuthSuite:
    """A suite that trusts an issuer, and its gateway."""

    running: Suite
    issuer: Issuer
    client: httpx.AsyncClient
    backend: dict[str, str]

    async def wait_until_reserved(self, orderid: str) -> None:
        """Return once stock has reserved the order's items."""
        path = f"/v1/orders/{orderid}"

        async def reserved() -> bool:
            response = await self.client.get(path, headers=self.as_("root", scope=SCOPE))
            return bool(response.json()["status"] == "reserved")

        await eventually(reserved, 20)

    def as_(self, sub: str, **claims) -> dict[str, str]:
        return bearer(self.issuer.token(sub, **claims))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def metadata(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


@pytest.fixture
async def suite(tmp_path) -> AsyncIterator[AuthSuite]:
    with an_issuer() as issuer:
        backend = {"BACKEND": "embedded", "EMBEDDED_FILE": str(tmp_path / "data.sqlite3"), **issuer.environ}
        operator = issuer.token("root", scope=SCOPE)
        async with (
            running_suite(backend, operator_token=operator) as running,
            a_gateway(running, issuer) as client,
        ):
            yield AuthSuite(running, issuer, client, backend)


@asynccontextmanager
async def a_gateway(running: Suite, issuer: Issuer) -> AsyncIterator[httpx.AsyncClient]:
    settings = AuthSettings.from_environ(issuer.environ)
    assert settings is not None
    clients = Clients(running.services.targets, WAIT_SECONDS)
    app = create_app(
        clients,
        Lifecycle(),
        MiddlewareConfig(tokens=TokenVerifier.from_settings(settings, Runtime(), "saga.operator")),
        OrderFeeds(SnapshotReader(clients).read, Runtime()),
        StreamLimits(heartbeat_seconds=0.1),
    )
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(client_of(app))


async def order(suite: AuthSuite, sub: str, cartid: str) -> str:
    headers = suite.as_(sub)
    for method, path, body in (
        ("PUT", f"/v1/carts/{cartid}", None),
        ("PUT", f"/v1/carts/{cartid}/items/blue", {"count": 3}),
        ("POST", f"/v1/carts/{cartid}:close", None),
    ):
        assert (await suite.client.request(method, path, json=body, headers=headers)).is_success
    response = await suite.client.post(f"/v1/carts/{cartid}:checkout", headers=headers)
    assert response.status_code == 202, response.text
    return response.json()["orderid"]


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


async def found(client: httpx.AsyncClient, path: str, orderid: str, headers) -> httpx.Response | None:
    response = await client.post(path, json={"orderid": orderid}, headers=headers)
    return response if response.is_success else None


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
    longest = suite.issuer.token("alice", groups="x" * ((MAX_LENGTH - shortest) * 3 // 4 - 1))
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
    pages = ("/", "/healthz", "/readyz", "/docs", "/ui", "/ui/services.js", "/openapi.json", "/ui/config")
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
        for topic in TOPICS.values():
            await provisioner.ensure_subscription(SubscriptionSpec(f"listener.{topic}", topic, None))
    for topic in TOPICS.values():
        suite.running.backend.bus.subscribe(f"listener.{topic}", listener, 100)

    await order(suite, "alice-in-wonderland", "c-1")

    await listener.has(5)
    for delivery in listener.deliveries:
        sent = delivery.message.data + repr(delivery.message.attributes).encode()
        assert b"alice" not in sent
        assert b"earer" not in sent
