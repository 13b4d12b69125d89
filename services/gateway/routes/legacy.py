"""POST /<service>/api/<rpc>: the older routes, one per RPC, whose JSON stays as it is."""

from typing import Any

from fastapi import APIRouter

from rpc import delivery_pb2, payment_pb2, stock_pb2
from rpc import purchase_pb2 as pb
from services.gateway import models as m
from services.gateway.dependencies import Services
from services.gateway.documentation import COMMON_PROBLEMS, problems
from services.gateway.json_route import JsonRoute

_NOT_FOUND, _CONFLICT = problems(404), problems(404, 409)
_OPTIONS: dict[str, Any] = {
    "route_class": JsonRoute,
    "responses": COMMON_PROBLEMS,
    "generate_unique_id_function": lambda route: route.name.title().replace("_", ""),
}
purchase = APIRouter(prefix="/purchase/api", tags=["purchase"], **_OPTIONS)
stock = APIRouter(prefix="/stock/api", tags=["stock"], **_OPTIONS)
payment = APIRouter(prefix="/payment/api", tags=["payment"], **_OPTIONS)
delivery = APIRouter(prefix="/delivery/api", tags=["delivery"], **_OPTIONS)


@purchase.post("/create_cart", summary="Open an empty cart; if it exists, return it", responses=problems(409))
async def create_cart(body: m.CartRequest, services: Services) -> m.CartAnswer:
    request = pb.CreateCartRequest(cartid=body.cartid)
    return m.CartAnswer.from_message(await services.purchase.CreateCart(request))


@purchase.post("/get_cart", summary="Get a cart", responses=_NOT_FOUND)
async def get_cart(body: m.CartRequest, services: Services) -> m.CartAnswer:
    request = pb.GetCartRequest(cartid=body.cartid)
    return m.CartAnswer.from_message(await services.purchase.GetCart(request))


@purchase.post("/add_item", summary="Add units of an item to an open cart", responses=_CONFLICT)
async def add_item(body: m.AddItemRequest, services: Services) -> m.CartItems:
    request = pb.AddItemRequest(**body.model_dump())
    return m.CartItems.from_message(await services.purchase.AddItem(request))


@purchase.post("/remove_item", summary="Remove an item from an open cart", responses=_CONFLICT)
async def remove_item(body: m.CartItemRequest, services: Services) -> m.CartItems:
    request = pb.RemoveItemRequest(cartid=body.cartid, itemid=body.itemid)
    return m.CartItems.from_message(await services.purchase.RemoveItem(request))


@purchase.post("/get_cart_contents", summary="List the items of a cart", responses=_NOT_FOUND)
async def get_cart_contents(body: m.CartRequest, services: Services) -> m.CartContents:
    request = pb.GetCartContentsRequest(cartid=body.cartid)
    return m.CartContents.from_message(await services.purchase.GetCartContents(request))


@purchase.post(
    "/close_cart", summary="Close a cart to changes; if it is closed, return it", responses=_CONFLICT
)
async def close_cart(body: m.CartRequest, services: Services) -> m.CartAnswer:
    request = pb.CloseCartRequest(cartid=body.cartid)
    return m.CartAnswer.from_message(await services.purchase.CloseCart(request))


@purchase.post(
    "/checkout", summary="Order a closed cart; if it is ordered, return its ticket", responses=_CONFLICT
)
async def checkout(body: m.CartRequest, services: Services) -> m.OrderTicketAnswer:
    request = pb.CheckoutRequest(cartid=body.cartid)
    return m.OrderTicketAnswer.from_message(await services.purchase.Checkout(request))


@purchase.post("/get_order_ticket", summary="Get an order ticket", responses=_NOT_FOUND)
async def get_order_ticket(body: m.OrderRequest, services: Services) -> m.OrderTicketAnswer:
    request = pb.GetOrderTicketRequest(orderid=body.orderid)
    return m.OrderTicketAnswer.from_message(await services.purchase.GetOrderTicket(request))


@purchase.post(
    "/cancel_order", summary="Cancel an open order; if it is canceled, return it", responses=_CONFLICT
)
async def cancel_order(body: m.OrderRequest, services: Services) -> m.OrderTicketAnswer:
    request = pb.CancelOrderRequest(orderid=body.orderid)
    return m.OrderTicketAnswer.from_message(await services.purchase.CancelOrder(request))


@purchase.post("/get_order_history", summary="Get the history of an order", responses=_NOT_FOUND)
async def get_order_history(body: m.OrderRequest, services: Services) -> m.OrderHistory:
    request = pb.GetOrderHistoryRequest(orderid=body.orderid)
    return m.OrderHistory.from_message(await services.purchase.GetOrderHistory(request))


@payment.post("/get_payment", summary="Get an order's payment", responses=_NOT_FOUND)
async def get_payment(body: m.OrderRequest, services: Services) -> m.PaymentAnswer:
    request = payment_pb2.GetPaymentRequest(orderid=body.orderid)
    return m.PaymentAnswer.from_message(await services.payment.GetPayment(request))


@delivery.post("/get_delivery", summary="Get an order's delivery", responses=_NOT_FOUND)
async def get_delivery(body: m.OrderRequest, services: Services) -> m.DeliveryAnswer:
    request = delivery_pb2.GetDeliveryRequest(orderid=body.orderid)
    return m.DeliveryAnswer.from_message(await services.delivery.GetDelivery(request))


@stock.post("/get_item", summary="Get an item", responses=_NOT_FOUND)
async def get_item(body: m.ItemRequest, services: Services) -> m.ItemAnswer:
    request = stock_pb2.GetItemRequest(itemid=body.itemid)
    return m.ItemAnswer.from_message(await services.stock.GetItem(request))


@stock.post("/list_items", summary="List the catalogue, page by page")
async def list_items(body: m.ListItemsRequest, services: Services) -> m.ItemPage:
    request = stock_pb2.ListItemsRequest(page_size=body.page_size, page_token=body.page_token)
    return m.ItemPage.from_message(await services.stock.ListItems(request))


router = APIRouter()
for each in (purchase, payment, delivery, stock):
    router.include_router(each)
