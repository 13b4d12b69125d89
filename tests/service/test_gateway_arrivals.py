"""Requests whose body is slow, or whose client is gone, over real sockets; and HEAD."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import pytest

from contract.topology import TOPOLOGY
from rpc import purchase_pb2
from tests.service.gateway_harness import WAIT_SECONDS, Failure, assert_problem, fakes, suite
from tests.service.gateway_process import connection, running
from tests.support.eventually import eventually

OPEN_ORDER = purchase_pb2.GetOrderTicketResponse(order_ticket={"orderid": "o", "status": "pre-approved"})
NOTHING = [Failure(grpc.StatusCode.NOT_FOUND)]
PRE_APPROVED = {"status": "pre-approved", "time": "2026-11-21T12:00:00.000Z", "cause": "pre-approved"}
FOLLOWED = {
    "GetOrderTicket": [OPEN_ORDER],
    "GetOrderHistory": [purchase_pb2.GetOrderHistoryResponse(orderid="o", history=[PRE_APPROVED])],
    **dict.fromkeys(("GetReservation", "GetPayment", "GetDelivery"), NOTHING),
}
CART = purchase_pb2.CreateCartResponse(cart={"cartid": "1", "status": "open"})


@asynccontextmanager
async def gateway(tmp_path, answers, **environ):
    """A gateway with a broker, in front of fakes; a client of it, and the fake of purchase."""
    async with fakes(**answers) as services:
        addresses = TOPOLOGY.address_environ({name: service.address for name, service in services.items()})
        broker = {"BACKEND": "embedded", "EMBEDDED_FILE": str(tmp_path / "embedded")}
        async with running(**addresses, **broker, **environ) as (_, client):
            yield client, services["purchase"]


def request(method, path, length=0):
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode()


def served(client, path):
    async def is_served():
        return (await client.get(path)).status_code == 200

    return eventually(is_served, seconds=5)


def until_full(client):
    async def is_full():
        return (await client.get("/v1/orders/o?wait=0.1")).status_code == 503

    return eventually(is_full)


@pytest.mark.parametrize("path", ["/v1/orders/o?wait=60", "/v1/orders/o/events"])
async def test_clients_that_hang_up_leave_their_places_to_others(tmp_path, path):
    async with gateway(tmp_path, FOLLOWED, MAX_STREAMS="20") as (client, _):
        async with AsyncExitStack() as stack:
            for _ in range(20):
                await stack.enter_async_context(connection(client, request("GET", path)))
            await until_full(client)
        for _ in range(300):
            async with connection(client, request("GET", path)):
                pass

        await served(client, "/v1/orders/o?wait=0.1")


async def test_client_with_too_many_long_polls_leaves_room_for_others(tmp_path):
    limits = {"MAX_STREAMS": "20", "MAX_STREAMS_PER_CLIENT": "5", "TRUSTED_PROXIES": "1"}
    poll = "/v1/orders/o?wait=60"
    async with gateway(tmp_path, FOLLOWED, **limits) as (client, _), AsyncExitStack() as stack:
        for _ in range(30):
            await stack.enter_async_context(connection(client, forwarded(request("GET", poll), "192.0.2.1")))

        async def is_rejected():
            short = "/v1/orders/o?wait=0.1"
            return (await client.get(short, headers={"X-Forwarded-For": "192.0.2.1"})).status_code == 429

        await eventually(is_rejected)
        other = await client.get("/v1/orders/o?wait=0.1", headers={"X-Forwarded-For": "192.0.2.2"})

    assert other.status_code == 200


def forwarded(request, address):
    return request.replace(b"\r\n", f"\r\nX-Forwarded-For: {address}\r\n".encode(), 1)


async def test_place_of_a_get_is_free_when_its_client_hangs_up_and_the_call_is_cancelled(tmp_path):
    cancelled = 0

    async def hold():
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled += 1
            raise

    answers = {"GetCart": [hold], "GetOrderTicket": [OPEN_ORDER]}
    async with gateway(tmp_path, answers, MAX_CONCURRENT_REQUESTS="2") as (client, purchase):
        async with AsyncExitStack() as stack:
            for _ in range(2):
                await stack.enter_async_context(connection(client, request("GET", "/v1/carts/1")))
            await eventually(lambda: len(purchase.asked) == 2)
            assert_problem(await client.get("/v1/orders/o"), 503, "overloaded")

        await served(client, "/v1/orders/o")
        await eventually(lambda: cancelled == 2)


async def test_change_is_completed_although_its_client_hangs_up(tmp_path):
    release, completed = asyncio.Event(), asyncio.Event()

    async def hold():
        await release.wait()
        completed.set()
        return CART

    async with gateway(tmp_path, {"CreateCart": [hold]}) as (client, purchase):
        async with connection(client, request("PUT", "/v1/carts/1")):
            await eventually(lambda: purchase.asked)
        await client.get("/")
        release.set()

        await asyncio.wait_for(completed.wait(), WAIT_SECONDS)


@pytest.mark.parametrize("limit", ["MAX_CONCURRENT_REQUESTS", "MAX_CONNECTIONS"])
async def test_slow_bodies_keep_no_client_out(tmp_path, limit):
    async with (
        gateway(tmp_path, {"CreateCart": [CART]}, **{limit: "2"}) as (client, _),
        AsyncExitStack() as stack,
    ):
        for _ in range(20):
            slow = connection(client, request("POST", "/purchase/api/create_cart", 100) + b"{")
            await stack.enter_async_context(slow)
        answers = [await client.put("/v1/carts/1") for _ in range(10)]

    assert {answer.status_code for answer in answers} == {200}


async def test_unfinished_body_is_answered_with_408(tmp_path):
    unfinished = request("POST", "/purchase/api/create_cart", 100) + b"{"
    async with (
        gateway(tmp_path, {}, REQUEST_TIMEOUT_SECONDS="0.5") as (client, _),
        connection(client, unfinished) as (reader, _),
        asyncio.timeout(WAIT_SECONDS),
    ):
        answer = await reader.read()

    assert answer.startswith(b"HTTP/1.1 408 ")


API = ("/", "/healthz", "/readyz", "/v1/items", "/v1/items/blue", "/v1/carts/c", "/v1/orders/o")
DOCUMENTS = ("/openapi.json", "/asyncapi.json", "/docs")
OTHERS = ("/v1/orders/o/history", "/ui", "/ui/", "/ui/config", *DOCUMENTS, "/nowhere")


@pytest.mark.parametrize("path", [*API, *OTHERS])
async def test_head_has_the_status_and_headers_of_get_and_no_content(path):
    async with suite() as (client, _):
        get, head = await client.get(path), await client.head(path)

    assert (head.status_code, head.headers) == (get.status_code, get.headers)
    assert head.content == b""


async def test_head_does_not_wait_and_leaves_the_connection_usable(tmp_path):
    async with gateway(tmp_path, FOLLOWED, MAX_STREAMS="1") as (client, _):
        for path in ("/v1/orders/o?wait=60", "/v1/orders/o/events"):
            for _ in range(3):
                async with asyncio.timeout(WAIT_SECONDS):
                    head = await client.head(path)

                assert head.status_code == 200
        assert head.headers["content-type"].startswith("text/event-stream")
        assert (await client.get("/")).text == "api-gateway"


async def test_head_is_not_allowed_where_get_is_not():
    async with suite() as (client, _):
        post_only = await client.head("/purchase/api/create_cart")
        cart = await client.post("/v1/carts/c")

    assert (post_only.status_code, post_only.headers["allow"]) == (405, "POST")
    assert cart.headers["allow"] == "GET, HEAD, PUT"
