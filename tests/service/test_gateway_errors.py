"""The gateway: what becomes of the errors behind it."""

import asyncio

import grpc
import pytest
import structlog
from google.rpc import status_pb2
from grpc_status import rpc_status

from contract.shop import SHOP
from rpc import purchase_pb2
from sagakit.errors import FailedPrecondition, InvalidArgument, NotFound
from sagakit.grpc.errors import status_of
from services.gateway.app import Lifecycle, create_app
from services.gateway.middleware import MiddlewareConfig
from services.gateway.settings import RequestLimits
from tests.service.gateway_harness import (
    WAIT_SECONDS,
    Failure,
    FakeService,
    assert_problem,
    client_of,
    gateway,
    suite,
    until,
)

GET_CART = "/purchase/api/get_cart"
CARTID = {"cartid": "1"}
ADD_ITEM = "/purchase/api/add_item"
AN_ITEM = {"cartid": "1", "itemid": "blue", "count": 3}
SECRET = "10.1.2.3:5432 is down"

STATUSES = {
    grpc.StatusCode.CANCELLED: 503,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
}


def refusal(error):
    """How a service of ours refuses."""
    status = rpc_status.to_status(status_of(error, SHOP.error_domain))
    return Failure(status.code, status.details, status.trailing_metadata)


def test_every_grpc_code_is_tried_here():
    assert set(STATUSES) | {grpc.StatusCode.OK} == set(grpc.StatusCode)


@pytest.mark.parametrize(("code", "status"), STATUSES.items(), ids=str)
async def test_every_grpc_code_has_its_status(code, status):
    async with suite(GetCart=[Failure(code, SECRET)]) as (client, _):
        response = await client.post(GET_CART, json=CARTID)

    problem = assert_problem(response, status, code.name.lower().replace("_", "-"))
    assert ("retry-after" in response.headers) == (status in (429, 503))
    assert (SECRET in problem["detail"]) == (status < 500)


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (NotFound("cart-not-found", "there is no cart 1"), 404, "cart-not-found"),
        (FailedPrecondition("cart-not-open", "cart 1 is closed"), 400, "cart-not-open"),
    ],
)
async def test_the_reason_a_service_gives_is_passed_on(error, status, reason):
    async with suite(GetCart=[refusal(error)]) as (client, _):
        response = await client.post(GET_CART, json=CARTID)

    problem = assert_problem(response, status, reason)
    assert problem["detail"] == str(error)
    assert "errors" not in problem


@pytest.mark.parametrize(
    ("rpc", "path", "error", "status"),
    [
        ("CancelOrder", "/purchase/api/cancel_order", NotFound("order-not-found", "no o"), 404),
        (
            "CancelOrder",
            "/purchase/api/cancel_order",
            FailedPrecondition("order-ended", "o is approved"),
            400,
        ),
        ("GetOrderHistory", "/purchase/api/get_order_history", NotFound("order-not-found", "no o"), 404),
        ("GetPayment", "/payment/api/get_payment", NotFound("payment-not-found", "nothing for o"), 404),
        ("GetDelivery", "/delivery/api/get_delivery", NotFound("delivery-not-found", "nothing for o"), 404),
    ],
)
async def test_what_an_order_is_refused_is_passed_on_and_documented(rpc, path, error, status):
    async with suite(**{rpc: [refusal(error)]}) as (client, _):
        response = await client.post(path, json={"orderid": "o"})
        document = (await client.get("/openapi.json")).json()

    assert assert_problem(response, status, error.reason)["detail"] == str(error)
    assert str(status) in document["paths"][path]["post"]["responses"]


async def test_the_field_a_service_complains_of_is_named():
    error = InvalidArgument("cartid", "cartid must be nicer")
    async with suite(GetCart=[refusal(error)]) as (client, _):
        response = await client.post(GET_CART, json=CARTID)

    problem = assert_problem(response, 400, "invalid-argument")
    assert problem["errors"] == [{"field": "cartid", "message": "cartid must be nicer"}]


@pytest.mark.parametrize("details", [b"\xff\xff", status_pb2.Status(code=3).SerializeToString(), b""])
async def test_details_that_make_no_sense_are_left_out(details):
    refused = Failure(grpc.StatusCode.NOT_FOUND, "no cart", (("grpc-status-details-bin", details),))
    async with suite(GetCart=[refused]) as (client, _):
        response = await client.post(GET_CART, json=CARTID)

    assert_problem(response, 404, "not-found")


async def test_a_call_nobody_took_is_repeated_under_the_same_commandid():
    away = Failure(grpc.StatusCode.UNAVAILABLE)
    done = purchase_pb2.AddItemResponse(cart_items=[{"itemid": "blue", "count": 3}])
    async with suite(AddItem=[away, away, done]) as (client, purchase):
        response = await client.post(ADD_ITEM, json=AN_ITEM)

    assert response.status_code == 200
    commandids = [request.commandid for _, request in purchase.asked]
    assert len(commandids) == 3
    assert len(set(commandids)) == 1
    assert commandids[0]


NOT_DONE = {grpc.StatusCode.UNAVAILABLE: "unavailable", grpc.StatusCode.CANCELLED: "cancelled"}
"""What a service that is away says, and one that stops just then."""


@pytest.mark.parametrize("code", NOT_DONE)
async def test_a_service_that_stays_away_is_asked_five_times(code):
    async with suite(GetCart=[Failure(code)]) as (client, purchase):
        response = await client.post(GET_CART, json=CARTID)

    assert_problem(response, 503, NOT_DONE[code])
    assert response.headers["retry-after"] == "1"
    assert len(purchase.asked) == 5


@pytest.mark.parametrize("code", [code for code in STATUSES if code not in NOT_DONE])
async def test_nothing_else_is_asked_again(code):
    async with suite(AddItem=[Failure(code)]) as (client, purchase):
        await client.post(ADD_ITEM, json=AN_ITEM)

    assert len(purchase.asked) == 1


async def test_a_service_that_is_too_slow_is_given_up():
    async with suite(GetCart=[asyncio.Event().wait], timeout_seconds=0.2) as (client, _):
        response = await client.post(GET_CART, json=CARTID)

    assert_problem(response, 504, "deadline-exceeded")


async def test_a_restarted_service_is_found_again_by_itself():
    purchase = FakeService("purchase")

    async def answers():
        return (await client.post(GET_CART, json=CARTID)).status_code == 200

    async with purchase.running():
        target = f"ipv4:{purchase.address}"
    async with gateway({"purchase": target}) as client:
        assert_problem(await client.post(GET_CART, json=CARTID), 503, "unavailable")
        # The outage: the pauses between attempts to connect grow meanwhile.
        await asyncio.sleep(3)

        async with purchase.running():
            await until(answers, seconds=5)


async def test_all_replicas_share_the_work():
    first, second = FakeService("purchase"), FakeService("purchase")

    async def both_asked():
        await client.post(GET_CART, json=CARTID)
        return bool(first.asked and second.asked)

    async with (
        first.running(),
        second.running(),
        gateway({"purchase": f"ipv4:{first.address},{second.address}"}) as client,
    ):
        await until(both_asked)
        before = len(first.asked), len(second.asked)
        for _ in range(10):
            await client.post(GET_CART, json=CARTID)

    assert (len(first.asked) - before[0], len(second.asked) - before[1]) == (5, 5)


class BrokenClients:
    """Fails in a way that nobody foresaw."""

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


async def test_an_error_nobody_foresaw_is_logged_and_not_shown():
    with structlog.testing.capture_logs() as logs:
        async with client_of(broken_gateway()) as client:
            response = await client.post(GET_CART, json=CARTID)

    assert_problem(response, 500, "internal")
    assert SECRET not in response.text
    assert [(entry["log_level"], entry["exc_info"]) for entry in logs] == [("error", True)]


async def test_a_failure_behind_is_logged_with_what_the_service_said():
    async with suite(GetCart=[Failure(grpc.StatusCode.INTERNAL, SECRET)]) as (client, _):
        with structlog.testing.capture_logs() as logs:
            await client.post(GET_CART, json=CARTID)

    assert [(entry["path"], entry["status"], entry["error"]) for entry in logs] == [(GET_CART, 500, SECRET)]


async def test_a_client_that_hangs_up_is_no_failure():
    sent = []
    scope = {"type": "http", "method": "POST", "path": GET_CART, "query_string": b"", "headers": []}

    async def gone():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    with structlog.testing.capture_logs() as logs:
        await broken_gateway()(scope, gone, send)

    assert (sent, logs) == ([], [])
