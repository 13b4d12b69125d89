"""/v1/orders: an order's status, history and live events, and its cancellation."""

from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request, Response

from contract.fields import ID_PATTERN
from rpc import purchase_pb2 as pb
from services.gateway.arrivals import IS_HEAD
from services.gateway.dependencies import Conditional, IdempotencyKey, Live, Services
from services.gateway.documentation import CHANGE_PROBLEMS, conditional, problems
from services.gateway.models import OrderHistory, OrderId, OrderTicket
from services.gateway.order_feed.live import EXAMPLE, MEDIA_TYPE
from services.gateway.routes import resource_router

orders = resource_router("orders")
events = APIRouter(tags=["v1"])
"""Beside the others: a stream never reads a body."""

Wait = Annotated[
    float, Query(ge=0, le=60, allow_inf_nan=False, description="Seconds to wait while it is open.")
]
# Purchase validates it: an invalid id is its 400.
StreamedOrderId = Annotated[str, Path(json_schema_extra={"pattern": ID_PATTERN})]
LastEventId = Annotated[str, Header(alias="Last-Event-ID", description="The id of the last event received.")]


@orders.get(
    "/{orderid:name}",
    summary="Get an order; with `wait`, once its status is terminal",
    response_model=OrderTicket,
    responses=conditional(),
)
async def get_order(
    request: Request,
    orderid: OrderId,
    services: Services,
    live: Live,
    conditional: Conditional,
    wait: Wait = 0,
) -> Response:
    if wait and IS_HEAD not in request.scope:
        await live.until_terminal(request, orderid, wait)
    answer = await services.purchase.GetOrderTicket(pb.GetOrderTicketRequest(orderid=orderid))
    return conditional(OrderTicket.from_message(answer.order_ticket))


@orders.post(
    "/{orderid:name}:cancel",
    summary="Cancel an open order; if it is canceled, return it",
    responses=CHANGE_PROBLEMS,
)
async def cancel_order(orderid: OrderId, key: IdempotencyKey, services: Services) -> OrderTicket:
    answer = await services.purchase.CancelOrder(pb.CancelOrderRequest(orderid=orderid, commandid=key))
    return OrderTicket.from_message(answer.order_ticket)


@orders.get(
    "/{orderid:name}/history",
    summary="Get the history of an order",
    response_model=OrderHistory,
    responses=conditional(),
)
async def get_order_history(orderid: OrderId, services: Services, conditional: Conditional) -> Response:
    answer = await services.purchase.GetOrderHistory(pb.GetOrderHistoryRequest(orderid=orderid))
    return conditional(OrderHistory.from_message(answer))


@events.get(
    "/v1/orders/{orderid}/events",
    operation_id="StreamOrderEvents",
    summary="Follow an order live",
    response_class=Response,
    responses={
        200: {"description": "The stream", "content": {MEDIA_TYPE: {"example": EXAMPLE}}},
        204: {"description": "The client has received the end; it must not reconnect."},
        **problems(400, 401, 403, 404, 429, 501, 503, 504),
    },
)
async def stream_order_events(
    request: Request, orderid: StreamedOrderId, live: Live, last_event_id: LastEventId = ""
) -> Response:
    """Server-sent events: a `move` for each thing that a service has done for the order, then for each as it
    happens, and an `end` once nothing more will. A client that reconnects, to any gateway, with the
    `Last-Event-ID` it received last gets the events it has not received; after the end it gets 204. A stream
    breaks off now and then (the gateway stops, the token expires): reconnect. There is a comment at least
    every 10 seconds, so a longer silence means that the connection is lost.
    """
    return await live.stream(request, orderid, last_event_id)


router = APIRouter()
router.include_router(orders)
router.include_router(events)
