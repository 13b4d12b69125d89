"""POST /<service>/api/<rpc>: the older routes, one per RPC, whose JSON stays as it is."""

from fastapi import APIRouter

from rpc import delivery_pb2, payment_pb2, stock_pb2
from rpc import purchase_pb2 as pb
from services.gateway import auth
from services.gateway.dependencies import Services
from services.gateway.documentation import COMMON_PROBLEMS, problems
from services.gateway.json_route import JsonRoute
from services.gateway.models import (
    AddItemRequest,
    CartAnswer,
    CartContents,
    CartItemRequest,
    CartItems,
    CartRequest,
    DeliveryAnswer,
    ItemAnswer,
    ItemPage,
    ItemRequest,
    ListItemsRequest,
    OrderHistory,
    OrderRequest,
    OrderTicketAnswer,
    PaymentAnswer,
)

router = APIRouter(
    route_class=JsonRoute,
    responses=COMMON_PROBLEMS,
    generate_unique_id_function=lambda route: route.name.title().replace("_", ""),
)
_PURCHASE, _STOCK = "/purchase/api", "/stock/api"
_NOT_FOUND, _CONFLICT = problems(404), problems(404, 409)


@router.post(
    f"{_PURCHASE}/create_cart",
    tags=["purchase"],
    summary="Open an empty cart; if it exists, return it",
    responses=problems(409),
)
async def create_cart(body: CartRequest, services: Services) -> CartAnswer:
    return CartAnswer.from_message(
        await services.purchase.CreateCart(pb.CreateCartRequest(cartid=body.cartid))
    )


@router.post(f"{_PURCHASE}/get_cart", tags=["purchase"], summary="Get a cart", responses=_NOT_FOUND)
async def get_cart(body: CartRequest, services: Services) -> CartAnswer:
    return CartAnswer.from_message(await services.purchase.GetCart(pb.GetCartRequest(cartid=body.cartid)))


@router.post(
    f"{_PURCHASE}/add_item",
    tags=["purchase"],
    summary="Add units of an item to an open cart",
    responses=_CONFLICT,
)
async def add_item(body: AddItemRequest, services: Services) -> CartItems:
    request = pb.AddItemRequest(
        cartid=body.cartid, itemid=body.itemid, count=body.count, commandid=body.commandid
    )
    return CartItems.from_message(await services.purchase.AddItem(request))


@router.post(
    f"{_PURCHASE}/remove_item",
    tags=["purchase"],
    summary="Remove an item from an open cart, whatever its quantity",
    responses=_CONFLICT,
)
async def remove_item(body: CartItemRequest, services: Services) -> CartItems:
    request = pb.RemoveItemRequest(cartid=body.cartid, itemid=body.itemid)
    return CartItems.from_message(await services.purchase.RemoveItem(request))


@router.post(
    f"{_PURCHASE}/get_cart_contents",
    tags=["purchase"],
    summary="List the items of a cart, in the order they were added",
    responses=_NOT_FOUND,
)
async def get_cart_contents(body: CartRequest, services: Services) -> CartContents:
    request = pb.GetCartContentsRequest(cartid=body.cartid)
    return CartContents.from_message(await services.purchase.GetCartContents(request))


@router.post(
    f"{_PURCHASE}/close_cart",
    tags=["purchase"],
    summary="Close a cart to further changes; if it is closed, return it",
    responses=_CONFLICT,
)
async def close_cart(body: CartRequest, services: Services) -> CartAnswer:
    return CartAnswer.from_message(await services.purchase.CloseCart(pb.CloseCartRequest(cartid=body.cartid)))


@router.post(
    f"{_PURCHASE}/checkout",
    tags=["purchase"],
    summary="Open the order ticket of a closed cart; if there is one, return it",
    responses=_CONFLICT,
)
async def checkout(body: CartRequest, services: Services) -> OrderTicketAnswer:
    answer = await services.purchase.Checkout(pb.CheckoutRequest(cartid=body.cartid))
    return OrderTicketAnswer.from_message(answer)


@router.post(
    f"{_PURCHASE}/get_order_ticket", tags=["purchase"], summary="Get an order ticket", responses=_NOT_FOUND
)
async def get_order_ticket(body: OrderRequest, services: Services) -> OrderTicketAnswer:
    request = pb.GetOrderTicketRequest(orderid=body.orderid)
    return OrderTicketAnswer.from_message(await services.purchase.GetOrderTicket(request))


@router.post(
    f"{_PURCHASE}/cancel_order",
    tags=["purchase"],
    summary="Cancel an open order; if it is canceled, return its ticket",
    responses=_CONFLICT,
)
async def cancel_order(body: OrderRequest, services: Services) -> OrderTicketAnswer:
    answer = await services.purchase.CancelOrder(pb.CancelOrderRequest(orderid=body.orderid))
    return OrderTicketAnswer.from_message(answer)


@router.post(
    f"{_PURCHASE}/get_order_history",
    tags=["purchase"],
    summary="Get the history of an order",
    responses=_NOT_FOUND,
)
async def get_order_history(body: OrderRequest, services: Services) -> OrderHistory:
    request = pb.GetOrderHistoryRequest(orderid=body.orderid)
    return OrderHistory.from_message(await services.purchase.GetOrderHistory(request))


@router.post(
    "/payment/api/get_payment", tags=["payment"], summary="Get an order's payment", responses=_NOT_FOUND
)
async def get_payment(body: OrderRequest, services: Services) -> PaymentAnswer:
    await _authorize(services, body.orderid)
    request = payment_pb2.GetPaymentRequest(orderid=body.orderid)
    return PaymentAnswer.from_message(await services.payment.GetPayment(request))


@router.post(
    "/delivery/api/get_delivery", tags=["delivery"], summary="Get an order's delivery", responses=_NOT_FOUND
)
async def get_delivery(body: OrderRequest, services: Services) -> DeliveryAnswer:
    await _authorize(services, body.orderid)
    request = delivery_pb2.GetDeliveryRequest(orderid=body.orderid)
    return DeliveryAnswer.from_message(await services.delivery.GetDelivery(request))


@router.post(f"{_STOCK}/get_item", tags=["stock"], summary="Get an item", responses=_NOT_FOUND)
async def get_item(body: ItemRequest, services: Services) -> ItemAnswer:
    return ItemAnswer.from_message(await services.stock.GetItem(stock_pb2.GetItemRequest(itemid=body.itemid)))


@router.post(f"{_STOCK}/list_items", tags=["stock"], summary="List the catalogue, page by page")
async def list_items(body: ListItemsRequest, services: Services) -> ItemPage:
    request = stock_pb2.ListItemsRequest(page_size=body.page_size, page_token=body.page_token)
    return ItemPage.from_message(await services.stock.ListItems(request))


async def _authorize(services: Services, orderid: str) -> None:
    """Raise AioRpcError (NOT_FOUND) unless the caller may see the order; only purchase stores its owner."""
    caller = auth.current()
    if caller.token and not caller.operator:
        await services.purchase.GetOrderTicket(pb.GetOrderTicketRequest(orderid=orderid))
