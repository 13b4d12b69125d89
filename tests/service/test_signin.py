"""Signing in, over the whole suite: nobody gets anywhere without a token, or finds what is not theirs."""

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
from sagakit.auth.jwt import TokenVerifier
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
from tests.support.issuer import Issuer, an_issuer, rsa_key
from tests.support.sse import follow
from tests.support.suite import Suite, running_suite

SCOPE = "saga.operator"


@dataclass
class BearerClientInterceptor:
    """A suite that believes an issuer, and a gateway before it."""

    suite: Suite
    issuer: Issuer
    client: httpx.AsyncClient
    backend: dict[str, str]

    async def suite_reserves(self, orderid: str) -> None:
        """Return once stock has set aside what is in the order."""
        path = f"/v1/orders/{orderid}"

        async def reserved() -> bool:
            answer = await self.client.get(path, headers=self.as_("root", scope=SCOPE))
            return bool(answer.json()["status"] == "reserved")

        await eventually(reserved, 20)

    def as_(self, sub: str, **claims) -> dict[str, str]:
        return bearer(self.issuer.token(sub, **claims))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def metadata(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


@pytest.fixture
async def signed_in(tmp_path) -> AsyncIterator[BearerClientInterceptor]:
    with an_issuer() as issuer:
        backend = {"BACKEND": "embedded", "EMBEDDED_FILE": str(tmp_path / "data.sqlite3"), **issuer.environ}
        operator = issuer.token("root", scope=SCOPE)
        async with (
            running_suite(backend, operator_token=operator) as suite,
            a_gateway(suite, issuer) as client,
        ):
            yield BearerClientInterceptor(suite, issuer, client, backend)


@asynccontextmanager
async def a_gateway(suite: Suite, issuer: Issuer) -> AsyncIterator[httpx.AsyncClient]:
    settings = AuthSettings.from_environ(issuer.environ)
    assert settings is not None
    clients = Clients(suite.services.targets, WAIT_SECONDS)
    app = create_app(
        clients,
        Lifecycle(),
        MiddlewareConfig(tokens=TokenVerifier.from_settings(settings, Runtime(), "saga.operator")),
        OrderFeeds(SnapshotReader(clients).read, Runtime()),
        StreamLimits(heartbeat_seconds=0.1),
    )
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(client_of(app))


async def order(there: BearerClientInterceptor, sub: str, cartid: str) -> str:
    headers = there.as_(sub)
    for method, path, body in (
        ("PUT", f"/v1/carts/{cartid}", None),
        ("PUT", f"/v1/carts/{cartid}/items/blue", {"count": 3}),
        ("POST", f"/v1/carts/{cartid}:close", None),
    ):
        assert (await there.client.request(method, path, json=body, headers=headers)).is_success
    answer = await there.client.post(f"/v1/carts/{cartid}:checkout", headers=headers)
    assert answer.status_code == 202, answer.text
    return answer.json()["orderid"]


async def test_an_order_goes_its_way_for_who_signs_in(signed_in: BearerClientInterceptor):
    orderid = await order(signed_in, "alice", "c-1")
    me = signed_in.as_("alice")
    assert uuid.UUID(orderid).version == 4, "an orderid that could be guessed"

    async def approved() -> bool:
        answer = await signed_in.client.get(f"/v1/orders/{orderid}", headers=me)
        return answer.json()["status"] == "approved"

    await eventually(approved, 20)
    for path in ("/payment/api/get_payment", "/delivery/api/get_delivery", "/purchase/api/get_order_history"):
        assert await eventually(partial(found, signed_in.client, path, orderid, me), 20)


async def found(client: httpx.AsyncClient, path: str, orderid: str, headers) -> httpx.Response | None:
    answer = await client.post(path, json={"orderid": orderid}, headers=headers)
    return answer if answer.is_success else None


TOKENS = {
    "none": lambda issuer: {},
    "another scheme": lambda issuer: {"Authorization": "Basic YWxpY2U6YWxpY2U="},
    "nothing after the scheme": lambda issuer: {"Authorization": "Bearer "},
    "expired": lambda issuer: bearer(issuer.token(exp=time.time() - 60)),
    "wrong audience": lambda issuer: bearer(issuer.token(aud="another")),
    "wrong issuer": lambda issuer: bearer(issuer.token(iss="https://issuer.example")),
    "another key": lambda issuer: bearer(issuer.token(key=rsa_key())),
    "alg none": lambda issuer: bearer("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9."),
}


@pytest.mark.parametrize("headers", TOKENS.values(), ids=TOKENS)
async def test_the_gateway_lets_nobody_in_without_a_good_token(signed_in: BearerClientInterceptor, headers):
    for method, path in (
        ("GET", "/v1/items"),
        ("PUT", "/v1/carts/c-1"),
        ("GET", "/v1/orders/0/events"),
        ("POST", "/purchase/api/create_cart"),
        ("GET", "/no/such/path"),
    ):
        answer = await signed_in.client.request(method, path, headers=headers(signed_in.issuer))

        assert_problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_two_tokens_are_none(signed_in: BearerClientInterceptor):
    headers = [("Authorization", f"Bearer {signed_in.issuer.token(sub)}") for sub in ("alice", "bob")]

    answer = await signed_in.client.get("/v1/items", headers=headers)

    assert_problem(answer, 401, "unauthenticated")


async def test_probes_and_the_documentation_need_no_token(signed_in: BearerClientInterceptor):
    for path in (
        "/",
        "/healthz",
        "/readyz",
        "/docs",
        "/openapi.json",
        "/ui",
        "/ui/services.js",
        "/ui/config",
    ):
        assert (await signed_in.client.get(path)).status_code == 200
    document = (await signed_in.client.get("/openapi.json")).json()
    assert document["security"] == [{"bearer": []}]


async def test_the_page_knows_that_it_has_to_ask_for_a_token(signed_in: BearerClientInterceptor):
    assert (await signed_in.client.get("/ui/config")).json()["sign_in"] is True


async def test_services_are_not_stopped_by_whoever_has_no_token(signed_in: BearerClientInterceptor):
    for answer in (
        await signed_in.client.get("/ui/services"),
        await signed_in.client.post("/ui/services/stock:stop"),
    ):
        assert_problem(answer, 401, "unauthenticated")


@pytest.mark.parametrize("headers", TOKENS.values(), ids=TOKENS)
async def test_the_services_believe_nobody_either(signed_in: BearerClientInterceptor, headers):
    """Whoever gets past the gateway still has to have a good token: a header names nobody."""
    said = headers(signed_in.issuer).get("Authorization")
    sent = (("x-user", "alice"), ("sub", "alice"), *((("authorization", said),) if said else ()))
    suite = signed_in.suite
    for call, request in (
        (suite.purchase.CreateCart, pb.CreateCartRequest(cartid="c-1")),
        (suite.stock.GetItem, stock_pb.GetItemRequest(itemid="blue")),
        (suite.payment.GetPayment, payment_pb.GetPaymentRequest(orderid="1")),
        (suite.delivery.GetDelivery, delivery_pb.GetDeliveryRequest(orderid="1")),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(request, metadata=sent)
        assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_nobody_finds_somebody_elses_cart(signed_in: BearerClientInterceptor):
    alice, bob = signed_in.as_("alice"), signed_in.as_("bob")
    await signed_in.client.put("/v1/carts/c-1", headers=alice)
    await signed_in.client.put("/v1/carts/c-1/items/blue", json={"count": 3}, headers=alice)

    for method, path, body in (
        ("GET", "/v1/carts/c-1", None),
        ("PUT", "/v1/carts/c-1", None),
        ("PUT", "/v1/carts/c-1/items/blue", {"count": 1}),
        ("DELETE", "/v1/carts/c-1/items/blue", None),
        ("POST", "/v1/carts/c-1:close", None),
        ("POST", "/v1/carts/c-1:checkout", None),
    ):
        answer = await signed_in.client.request(method, path, json=body, headers=bob)
        assert_problem(answer, 404, "unknown-cart")
    for method in ("get_cart", "create_cart", "close_cart", "checkout", "get_cart_contents"):
        answer = await signed_in.client.post(f"/purchase/api/{method}", json={"cartid": "c-1"}, headers=bob)
        assert_problem(answer, 404, "unknown-cart")
    mine = (await signed_in.client.get("/v1/carts/c-1", headers=alice)).json()
    assert mine == {"cartid": "c-1", "status": "open", "cart_items": [{"itemid": "blue", "count": 3}]}


async def test_nobody_hears_what_somebody_else_was_answered_by_using_their_key(
    signed_in: BearerClientInterceptor,
):
    alice, bob = signed_in.as_("alice"), signed_in.as_("bob")
    keyed = {"Idempotency-Key": "k-1"}
    await signed_in.client.put("/v1/carts/c-1", headers={**alice, **keyed})
    await signed_in.client.put(
        "/v1/carts/c-1/items/blue", json={"count": 3}, headers={**alice, "Idempotency-Key": "k-2"}
    )

    opened = await signed_in.client.put("/v1/carts/c-1", headers={**bob, **keyed})
    filled = await signed_in.client.put(
        "/v1/carts/c-1/items/blue", json={"count": 3}, headers={**bob, "Idempotency-Key": "k-2"}
    )
    other = await signed_in.client.put(
        "/v1/carts/c-1/items/blue", json={"count": 4}, headers={**bob, "Idempotency-Key": "k-2"}
    )

    for answer in (opened, filled, other):
        assert_problem(answer, 404, "unknown-cart")


async def test_nobody_finds_somebody_elses_order(signed_in: BearerClientInterceptor):
    orderid = await order(signed_in, "alice", "c-1")
    alice, bob = signed_in.as_("alice"), signed_in.as_("bob")
    await eventually(lambda: found(signed_in.client, "/payment/api/get_payment", orderid, alice), 20)
    await eventually(lambda: found(signed_in.client, "/delivery/api/get_delivery", orderid, alice), 20)

    for method, path in (
        ("GET", f"/v1/orders/{orderid}"),
        ("GET", f"/v1/orders/{orderid}/history"),
        ("GET", f"/v1/orders/{orderid}/events"),
        ("POST", f"/v1/orders/{orderid}:cancel"),
    ):
        answer = await signed_in.client.request(method, path, headers=bob)
        assert_problem(answer, 404, "unknown-order")
    for path in (
        "/purchase/api/get_order_ticket",
        "/purchase/api/get_order_history",
        "/purchase/api/cancel_order",
        "/payment/api/get_payment",
        "/delivery/api/get_delivery",
    ):
        answer = await signed_in.client.post(path, json={"orderid": orderid}, headers=bob)
        assert_problem(answer, 404, "unknown-order")


async def test_who_is_an_operator_sees_what_is_anybodys(signed_in: BearerClientInterceptor):
    orderid = await order(signed_in, "alice", "c-1")
    operator = signed_in.as_("root", scope=SCOPE)

    answers = [
        await signed_in.client.get(path, headers=operator)
        for path in ("/v1/carts/c-1", f"/v1/orders/{orderid}")
    ]

    assert [answer.status_code for answer in answers] == [200, 200]


async def test_the_catalogue_is_changed_by_operators_alone(signed_in: BearerClientInterceptor):
    request = stock_pb.PutItemRequest(itemid="green", price=1, stock=1)

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await signed_in.suite.stock.PutItem(request, metadata=metadata(signed_in.issuer.token("alice")))
    operator = metadata(signed_in.issuer.token("root", scope=SCOPE))
    put = await signed_in.suite.stock.PutItem(request, metadata=operator)

    assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert put.item.itemid == "green"


async def test_a_stream_ends_with_its_token(signed_in: BearerClientInterceptor):
    await signed_in.suite.services.stop("payment")
    orderid = await order(signed_in, "alice", "c-1")
    await signed_in.suite_reserves(orderid)
    signed_in.client.headers = signed_in.as_("alice", exp=time.time() + 3)

    async with asyncio.timeout(20):
        sent = await follow(signed_in.client, orderid)

    assert [each.word for each in sent] == ["purchase.pre-approved", "stock.reserved"]
    answer = await signed_in.client.get(f"/v1/orders/{orderid}/events", headers=signed_in.as_("alice", exp=1))
    assert_problem(answer, 401, "unauthenticated")


async def test_nothing_of_the_caller_travels_with_events(signed_in: BearerClientInterceptor):
    listener = Listener()
    async with open_provisioner(signed_in.backend) as provisioner:
        for topic in TOPICS.values():
            await provisioner.ensure_subscription(SubscriptionSpec(f"listener.{topic}", topic, None))
    for topic in TOPICS.values():
        signed_in.suite.backend.bus.subscribe(f"listener.{topic}", listener, 100)

    await order(signed_in, "alice-in-wonderland", "c-1")

    await listener.has(5)
    for delivery in listener.deliveries:
        travelled = delivery.message.data + repr(delivery.message.attributes).encode()
        assert b"alice" not in travelled
        assert b"earer" not in travelled
