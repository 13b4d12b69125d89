"""gRPC to use cases: the service `Purchase`."""

from collections.abc import Iterable
from typing import Any

from contract.fields import checked_count, checked_id
from contract.tickets import CartItem
from rpc import purchase_pb2 as pb
from rpc.purchase_pb2_grpc import PurchaseServicer
from sagakit.events import timestamp
from services.purchase.cart import Cart
from services.purchase.ticket import Passage, Ticket
from services.purchase.usecases import UseCases


class Servicer(PurchaseServicer):
    """Checks what comes in, and puts answers into messages."""

    def __init__(self, usecases: UseCases) -> None:
        self._usecases = usecases

    async def CreateCart(self, request: pb.CreateCartRequest, context: Any) -> pb.CreateCartResponse:
        return pb.CreateCartResponse(cart=_cart(await self._usecases.create_cart(_cartid(request))))

    async def GetCart(self, request: pb.GetCartRequest, context: Any) -> pb.GetCartResponse:
        return pb.GetCartResponse(cart=_cart(await self._usecases.get_cart(_cartid(request))))

    async def AddItem(self, request: pb.AddItemRequest, context: Any) -> pb.AddItemResponse:
        items = await self._usecases.add_item(
            _cartid(request),
            checked_id("itemid", request.itemid),
            checked_count("count", request.count),
            request.commandid and checked_id("commandid", request.commandid),
        )
        return pb.AddItemResponse(cart_items=_items(items))

    async def RemoveItem(self, request: pb.RemoveItemRequest, context: Any) -> pb.RemoveItemResponse:
        items = await self._usecases.remove_item(_cartid(request), checked_id("itemid", request.itemid))
        return pb.RemoveItemResponse(cart_items=_items(items))

    async def GetCartContents(
        self, request: pb.GetCartContentsRequest, context: Any
    ) -> pb.GetCartContentsResponse:
        cart = await self._usecases.get_cart(_cartid(request))
        return pb.GetCartContentsResponse(cartid=cart.cartid, cart_items=_items(cart.items))

    async def CloseCart(self, request: pb.CloseCartRequest, context: Any) -> pb.CloseCartResponse:
        return pb.CloseCartResponse(cart=_cart(await self._usecases.close_cart(_cartid(request))))

    async def Checkout(self, request: pb.CheckoutRequest, context: Any) -> pb.CheckoutResponse:
        return pb.CheckoutResponse(order_ticket=_ticket(await self._usecases.checkout(_cartid(request))))

    async def GetOrderTicket(
        self, request: pb.GetOrderTicketRequest, context: Any
    ) -> pb.GetOrderTicketResponse:
        ticket = await self._usecases.get_order_ticket(checked_id("orderid", request.orderid))
        return pb.GetOrderTicketResponse(order_ticket=_ticket(ticket))

    async def CancelOrder(self, request: pb.CancelOrderRequest, context: Any) -> pb.CancelOrderResponse:
        ticket = await self._usecases.cancel_order(checked_id("orderid", request.orderid))
        return pb.CancelOrderResponse(order_ticket=_ticket(ticket))

    async def GetOrderHistory(
        self, request: pb.GetOrderHistoryRequest, context: Any
    ) -> pb.GetOrderHistoryResponse:
        ticket = await self._usecases.get_order_ticket(checked_id("orderid", request.orderid))
        moves = [_move(passage) for passage in ticket.history]
        return pb.GetOrderHistoryResponse(orderid=ticket.orderid, history=moves)


def _cartid(request: Any) -> str:
    return checked_id("cartid", request.cartid)


def _cart(cart: Cart) -> pb.Cart:
    return pb.Cart(cartid=cart.cartid, status=cart.status)


def _items(items: Iterable[CartItem]) -> list[pb.CartItem]:
    return [pb.CartItem(itemid=item.itemid, count=item.count) for item in items]


def _ticket(ticket: Ticket) -> pb.OrderTicket:
    return pb.OrderTicket(
        orderid=ticket.orderid,
        status=ticket.status,
        cart_items=_items(ticket.items),
        amount=ticket.amount,
        reason=ticket.reason,
    )


def _move(passage: Passage) -> pb.OrderMove:
    return pb.OrderMove(
        status=passage.status, time=timestamp(passage.time), cause=passage.cause, eventid=passage.eventid
    )
