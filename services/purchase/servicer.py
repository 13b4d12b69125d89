"""gRPC to use cases: the service `Purchase`."""

from collections.abc import Iterable
from typing import Any

from contract.fields import checked_count, checked_id
from contract.messages import to_message
from contract.tickets import CartItem
from rpc import purchase_pb2 as pb
from rpc.purchase_pb2_grpc import PurchaseServicer
from services.purchase.cart import Cart
from services.purchase.ticket import Ticket
from services.purchase.usecases import UseCases


class Servicer(PurchaseServicer):
    """Validate requests, call the use cases, convert results to messages."""

    def __init__(self, usecases: UseCases) -> None:
        self._usecases = usecases

    async def CreateCart(self, request: pb.CreateCartRequest, context: Any) -> pb.CreateCartResponse:
        opened = await self._usecases.create_cart(_cartid(request), _commandid(request))
        return pb.CreateCartResponse(cart=_cart(opened.cart), created=opened.created)

    async def GetCart(self, request: pb.GetCartRequest, context: Any) -> pb.GetCartResponse:
        return pb.GetCartResponse(cart=_cart(await self._usecases.get_cart(_cartid(request))))

    async def AddItem(self, request: pb.AddItemRequest, context: Any) -> pb.AddItemResponse:
        cart = await self._usecases.add_item(
            _cartid(request), _itemid(request), _count(request), _commandid(request)
        )
        return pb.AddItemResponse(cart_items=_items(cart.items))

    async def SetItem(self, request: pb.SetItemRequest, context: Any) -> pb.SetItemResponse:
        cart = await self._usecases.set_item(
            _cartid(request), _itemid(request), _count(request), _commandid(request)
        )
        return pb.SetItemResponse(cart=_cart(cart))

    async def RemoveItem(self, request: pb.RemoveItemRequest, context: Any) -> pb.RemoveItemResponse:
        cart = await self._usecases.remove_item(_cartid(request), _itemid(request), _commandid(request))
        return pb.RemoveItemResponse(cart_items=_items(cart.items), cart=_cart(cart))

    async def GetCartContents(
        self, request: pb.GetCartContentsRequest, context: Any
    ) -> pb.GetCartContentsResponse:
        cart = await self._usecases.get_cart(_cartid(request))
        return pb.GetCartContentsResponse(cartid=cart.cartid, cart_items=_items(cart.items))

    async def CloseCart(self, request: pb.CloseCartRequest, context: Any) -> pb.CloseCartResponse:
        cart = await self._usecases.close_cart(_cartid(request), _commandid(request))
        return pb.CloseCartResponse(cart=_cart(cart))

    async def Checkout(self, request: pb.CheckoutRequest, context: Any) -> pb.CheckoutResponse:
        ticket = await self._usecases.checkout(_cartid(request), _commandid(request))
        return pb.CheckoutResponse(order_ticket=_ticket(ticket))

    async def GetOrderTicket(
        self, request: pb.GetOrderTicketRequest, context: Any
    ) -> pb.GetOrderTicketResponse:
        ticket = await self._usecases.get_order_ticket(_orderid(request))
        return pb.GetOrderTicketResponse(order_ticket=_ticket(ticket))

    async def CancelOrder(self, request: pb.CancelOrderRequest, context: Any) -> pb.CancelOrderResponse:
        ticket = await self._usecases.cancel_order(_orderid(request), _commandid(request))
        return pb.CancelOrderResponse(order_ticket=_ticket(ticket))

    async def GetOrderHistory(
        self, request: pb.GetOrderHistoryRequest, context: Any
    ) -> pb.GetOrderHistoryResponse:
        ticket = await self._usecases.get_order_ticket(_orderid(request))
        history = [to_message(pb.OrderHistoryEntry, entry) for entry in ticket.history]
        return pb.GetOrderHistoryResponse(orderid=ticket.orderid, history=history)


def _cartid(request: Any) -> str:
    return checked_id("cartid", request.cartid)


def _orderid(request: Any) -> str:
    return checked_id("orderid", request.orderid)


def _itemid(request: Any) -> str:
    return checked_id("itemid", request.itemid)


def _count(request: Any) -> int:
    return checked_count("count", request.count)


def _commandid(request: Any) -> str:
    return request.commandid and checked_id("commandid", request.commandid)


def _cart(cart: Cart) -> pb.Cart:
    return to_message(pb.Cart, cart, cart_items=_items(cart.items))


def _items(items: Iterable[CartItem]) -> list[pb.CartItem]:
    return [to_message(pb.CartItem, item) for item in items]


def _ticket(ticket: Ticket) -> pb.OrderTicket:
    return to_message(pb.OrderTicket, ticket, cart_items=_items(ticket.items))
