"""Failures of services, and of the gateway itself. Golden files hold the problem of each gRPC status."""

import asyncio

import grpc
import pytest
import structlog
from fastapi import HTTPException
from google.rpc import status_pb2
from pydantic import BaseModel

from rpc import purchase_pb2
from services.gateway.app import Lifecycle, create_app
from services.gateway.middleware import MiddlewareConfig, UnhandledErrorMiddleware
from services.gateway.routes import resource_router
from services.gateway.settings import RequestLimits
from tests.service.gateway_harness import (
    WAIT_SECONDS,
    Failure,
    FakeService,
    assert_problem,
    client_of,
    gateway,
    suite,
)
from tests.support.eventually import eventually

GET_CART = "/purchase/api/get_cart"
CARTID = {"cartid": "1"}
ADD_ITEM = "/purchase/api/add_item"
AN_ITEM = {"cartid": "1", "itemid": "blue", "count": 3}
SECRET = "10.1.2.3:5432 is down"


@pytest.mark.parametrize("details", [b"\xff\xff", status_pb2.Status(code=3).SerializeToString(), b""])
async def test_malformed_error_details_are_ignored(details):
    failure = Failure(grpc.StatusCode.NOT_FOUND, "no cart", (("grpc-status-details-bin", details),))
    async with suite(GetCart=[failure]) as (client, _):
        response = await client.post(GET_CART, json=CARTID)

    assert_problem(response, 404, "not-found")


async def test_token_that_a_service_rejects_is_challenged():
    """It may expire between the gateway and the service; RFC 9110 requires the header with every 401."""
    async with suite(GetCart=[Failure(grpc.StatusCode.UNAUTHENTICATED, "the token is invalid")]) as (
        client,
        _,
    ):
        response = await client.post(GET_CART, json=CARTID)

    assert_problem(response, 401, "unauthenticated")
    assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_unavailable_call_is_retried_under_the_same_commandid():
    unavailable = Failure(grpc.StatusCode.UNAVAILABLE)
    done = purchase_pb2.AddItemResponse(cart_items=[{"itemid": "blue", "count": 3}])
    async with suite(AddItem=[unavailable, unavailable, done]) as (client, purchase):
        response = await client.post(ADD_ITEM, json=AN_ITEM)

    assert response.status_code == 200
    commandids = [request.commandid for _, request in purchase.asked]
    assert len(commandids) == 3
    assert len(set(commandids)) == 1
    assert commandids[0]


RETRIED = {grpc.StatusCode.UNAVAILABLE: "unavailable", grpc.StatusCode.CANCELLED: "cancelled"}
"""Statuses of a service that cannot be reached, or is stopping, with their reasons."""


@pytest.mark.parametrize("code", RETRIED)
async def test_unavailable_service_is_called_five_times(code):
    async with suite(GetCart=[Failure(code)]) as (client, purchase):
        response = await client.post(GET_CART, json=CARTID)

    assert_problem(response, 503, RETRIED[code])
    assert response.headers["retry-after"] == "1"
    assert len(purchase.asked) == 5


@pytest.mark.parametrize(
    "code", [code for code in grpc.StatusCode if code not in {grpc.StatusCode.OK, *RETRIED}]
)
async def test_no_other_failure_is_retried(code):
    async with suite(AddItem=[Failure(code)]) as (client, purchase):
        await client.post(ADD_ITEM, json=AN_ITEM)

    assert len(purchase.asked) == 1


async def test_gateway_reconnects_to_a_restarted_service():
    purchase = FakeService("purchase")

    async def answers():
        return (await client.post(GET_CART, json=CARTID)).status_code == 200

    async with purchase.running():
        target = f"ipv4:{purchase.address}"
    async with gateway({"purchase": target}) as client:
        assert_problem(await client.post(GET_CART, json=CARTID), 503, "unavailable")
        # The outage: the backoff between attempts to connect grows.
        await asyncio.sleep(3)

        async with purchase.running():
            await eventually(answers, 5)


async def test_calls_are_balanced_over_replicas():
    first, second = FakeService("purchase"), FakeService("purchase")

    async def both_asked():
        await client.post(GET_CART, json=CARTID)
        return bool(first.asked and second.asked)

    async with (
        first.running(),
        second.running(),
        gateway({"purchase": f"ipv4:{first.address},{second.address}"}) as client,
    ):
        await eventually(both_asked)
        before = len(first.asked), len(second.asked)
        for _ in range(10):
            await client.post(GET_CART, json=CARTID)

    assert (len(first.asked) - before[0], len(second.asked) - before[1]) == (5, 5)


class BrokenClients:
    """Fails unexpectedly."""

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None

    @property
    def purchase(self):
        raise RuntimeError(SECRET)


def broken_gateway():
    return create_app(
        BrokenClients(), Lifecycle(), MiddlewareConfig(RequestLimits(WAIT_SECONDS, concurrent_requests=10))
    )


async def test_unexpected_error_is_logged_and_not_shown():
    with structlog.testing.capture_logs() as logs:
        async with client_of(broken_gateway()) as client:
            response = await client.post(GET_CART, json=CARTID)

    assert_problem(response, 500, "internal")
    assert SECRET not in response.text
    assert [(entry["log_level"], entry["exc_info"]) for entry in logs] == [("error", True)]


async def test_answer_that_fails_after_it_began_is_broken_off():
    """Its status is sent already: a second answer would be read as the rest of the first."""
    sent = []

    async def fail(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError(SECRET)

    async def send(message):
        sent.append(message["type"])

    with structlog.testing.capture_logs() as logs, pytest.raises(RuntimeError, match=SECRET):
        await UnhandledErrorMiddleware(fail)({"type": "http", "path": GET_CART}, None, send)

    assert sent == ["http.response.start"]
    assert [(entry["path"], entry["log_level"]) for entry in logs] == [(GET_CART, "error")]


async def test_failed_call_is_logged_with_the_services_message():
    async with suite(GetCart=[Failure(grpc.StatusCode.INTERNAL, SECRET)]) as (client, _):
        with structlog.testing.capture_logs() as logs:
            await client.post(GET_CART, json=CARTID)

    assert [(entry["path"], entry["status"], entry["error"]) for entry in logs] == [(GET_CART, 500, SECRET)]


async def test_client_disconnect_is_not_logged():
    sent = []
    scope = {"type": "http", "method": "POST", "path": GET_CART, "query_string": b"", "headers": []}

    async def gone():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    with structlog.testing.capture_logs() as logs:
        await broken_gateway()(scope, gone, send)

    assert (sent, logs) == ([], [])


class Wish(BaseModel):
    text: str


async def test_a_route_may_use_a_plain_model_and_raise_a_plain_exception():
    app, router = broken_gateway(), resource_router("wishes")

    @router.post("")
    async def make_wish(body: Wish) -> Wish:
        if body.text == "more":
            raise HTTPException(404, "there are no more wishes")
        return body

    app.include_router(router)
    async with client_of(app) as client:
        made = await client.post("/v1/wishes", json={"text": "peace"})
        failed = await client.post("/v1/wishes", json={"text": "more"})
        malformed = await client.post("/v1/wishes", content=b"{")
        invalid = await client.post("/v1/wishes", json={"text": 1})

    assert made.json() == {"text": "peace"}
    assert_problem(failed, 404, "not-found")
    assert failed.json()["detail"] == "there are no more wishes"
    assert_problem(malformed, 400, "malformed-json")
    assert_problem(invalid, 400, "invalid-argument")
