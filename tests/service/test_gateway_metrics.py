"""The gateway's metrics: requests by route, status and method, which clients cannot make up."""

import grpc

from rpc.purchase_pb2 import GetOrderTicketResponse, OrderTicket
from services.gateway.app import Lifecycle, create_app
from services.gateway.clients import Clients
from services.gateway.middleware import MiddlewareConfig
from services.gateway.settings import RequestLimits
from tests.service.gateway_harness import Failure, client_of, fakes, targets_of
from tests.support.metrics import Measured

COUNT = "http_server_request_duration_seconds_count"


NO_LIMITS = RequestLimits()


async def send(*requests: tuple[str, str], limits: RequestLimits = NO_LIMITS, **answers) -> Measured:
    """Send the requests one after the other; return what was measured."""
    measured = Measured()
    async with fakes(**answers) as services:
        clients = Clients(targets_of(services.values()), 5)
        app = create_app(clients, Lifecycle(), MiddlewareConfig(limits, metrics=measured.metrics))
        async with client_of(app) as client:
            for method, path in requests:
                await client.request(method, path, json={"orderid": "o"} if method == "POST" else None)
    return measured


async def test_requests_are_counted_by_route_template():
    ticket = GetOrderTicketResponse(order_ticket=OrderTicket(orderid="a", status="approved"))

    measured = await send(("GET", "/v1/orders/a"), ("GET", "/v1/orders/b"), GetOrderTicket=[ticket])

    labels = {"http_route": "/v1/orders/{orderid}", "http_response_status_code": "200"}
    assert measured.value(COUNT, http_request_method="GET", **labels) == 2
    assert measured.value(COUNT) == 2


async def test_failures_are_counted_by_the_status_answered():
    measured = await send(
        ("POST", "/purchase/api/get_order_ticket"),
        GetOrderTicket=[Failure(grpc.StatusCode.UNAVAILABLE)],
    )

    labels = {"http_route": "/purchase/api/get_order_ticket", "http_response_status_code": "503"}
    assert measured.value(COUNT, **labels) == 1


async def test_unknown_paths_and_methods_create_no_labels():
    measured = await send(("GET", "/a"), ("GET", "/b/c"), ("BREW", "/a"))

    samples = [labels for name, labels, _ in measured.samples() if name == COUNT]
    assert {labels["http_route"] for labels in samples} == {""}
    assert {labels["http_request_method"] for labels in samples} == {"GET", "_OTHER"}


async def test_requests_rejected_by_middleware_are_counted():
    measured = await send(
        ("GET", "/v1/orders/a"), ("GET", "/v1/orders/a"), limits=RequestLimits(rate_per_client=0.01)
    )

    assert measured.value(COUNT, http_route="", http_response_status_code="429") == 1
