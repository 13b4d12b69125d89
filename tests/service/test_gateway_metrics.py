"""The gateway's metrics: requests by route, status and method, none of which a client can multiply."""

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


async def requested(*requests: tuple[str, str], limits: RequestLimits = NO_LIMITS, **answers) -> Measured:
    """What was measured of these requests, one after the other."""
    measured = Measured()
    async with fakes(**answers) as services:
        clients = Clients(targets_of(services.values()), 5)
        app = create_app(clients, Lifecycle(), MiddlewareConfig(limits, metrics=measured.metrics))
        async with client_of(app) as client:
            for method, path in requests:
                await client.request(method, path, json={"orderid": "o"} if method == "POST" else None)
    return measured


async def test_a_request_counts_with_the_template_of_its_route():
    ticket = GetOrderTicketResponse(order_ticket=OrderTicket(orderid="a", status="approved"))

    measured = await requested(("GET", "/v1/orders/a"), ("GET", "/v1/orders/b"), GetOrderTicket=[ticket])

    labels = {"http_route": "/v1/orders/{orderid}", "http_response_status_code": "200"}
    assert measured.value(COUNT, http_request_method="GET", **labels) == 2
    assert measured.value(COUNT) == 2


async def test_failures_count_with_the_status_the_client_hears():
    measured = await requested(
        ("POST", "/purchase/api/get_order_ticket"),
        GetOrderTicket=[Failure(grpc.StatusCode.UNAVAILABLE)],
    )

    labels = {"http_route": "/purchase/api/get_order_ticket", "http_response_status_code": "503"}
    assert measured.value(COUNT, **labels) == 1


async def test_paths_and_methods_that_somebody_makes_up_make_no_labels():
    measured = await requested(("GET", "/a"), ("GET", "/b/c"), ("BREW", "/a"))

    samples = [labels for name, labels, _ in measured.samples() if name == COUNT]
    assert {labels["http_route"] for labels in samples} == {""}
    assert {labels["http_request_method"] for labels in samples} == {"GET", "_OTHER"}


async def test_who_is_turned_away_before_the_routes_counts_as_well():
    measured = await requested(
        ("GET", "/v1/orders/a"), ("GET", "/v1/orders/a"), limits=RequestLimits(rate_per_client=0.5)
    )

    assert measured.value(COUNT, http_route="", http_response_status_code="429") == 1
