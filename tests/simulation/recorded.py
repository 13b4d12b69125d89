"""Customers' calls of purchase, recorded and checked in the end; some carts have a second customer."""

import asyncio
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from rpc import purchase_pb2 as pb
from sagakit.errors import NotFound, Rejected, SagaError
from sagakit.testing.world import World
from services.purchase.storage import TICKET, cart_key
from tests.support import shop_history
from tests.support.cart_model import CHECKED_OUT, Cart, CartCall
from tests.support.shop_history import FINAL, GET, Seen, ShopHistory

SHARED = 0.1
"""Share of carts that a second customer changes and reads while they are filled."""
READ = 0.2
"""Share of orders that a second customer reads until they are final, a few times at most."""
READS = 4
GUESTS_ITEM = "a-guests"
"""An item that the second customer puts into the cart and takes out again."""


class RecordedCalls:
    """Calls purchase as customers do."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.history = ShopHistory(lambda: asyncio.get_running_loop().time())
        self._guests: dict[str, asyncio.Task[None] | None] = {}
        """The second customer of each cart that was created, if it has one."""
        self._readers: set[asyncio.Task[None]] = set()

    def has_expired(self, cartid: str) -> bool:
        """Return whether a cart has expired, perhaps while a customer waited for an answer about it."""
        return cart_key(cartid) in self._world.expired

    async def call(self, method: str, request: Any) -> Any:
        """Return the response. Raises as `World.call`."""
        if method == "CloseCart" and (guest := self._guests[request.cartid]):
            await guest
        response = await self._recorded("owner", method, request)
        if method == "CreateCart" and request.cartid not in self._guests:
            shared = self._world.happens(SHARED)
            guest = asyncio.create_task(self._share(request.cartid)) if shared else None
            self._guests[request.cartid] = guest
        if method == "Checkout" and self._world.happens(READ):
            reader = asyncio.create_task(self._read(response.order_ticket.orderid))
            self._readers.add(reader)
            reader.add_done_callback(self._readers.discard)
        return response

    def problems(self) -> Iterable[str]:
        """Return what does not agree with the records yet. Note what was wrong in the answers, for good."""
        if self._readers:
            return [f"{len(self._readers)} customers are still reading"]
        for kind, name in self.history.calls.resources:
            check = self.history.check_cart if kind == "cart" else self.history.check_order
            check(name)
        self._world.problems += self.history.problems
        self.history.problems.clear()
        tickets = self._world.tables.kind(TICKET)
        return self.history.status_problems({each: entity["status"] for each, entity in tickets.items()})

    async def _recorded(self, customer: str, method: str, request: Any) -> Any:
        resource, asks, read = _DESCRIBED[method](request)
        calls = self.history.calls
        call = calls.begin(customer, resource, asks, getattr(request, "commandid", "") or None)
        try:
            response = await self._world.call("purchase", method, request)
        except NotFound as error:
            if self.has_expired(getattr(request, "cartid", "")):
                calls.failed(call)
            else:
                calls.ok(call, error.reason)
            raise
        except Rejected as error:
            calls.ok(call, error.reason)
            raise
        calls.ok(call, read(response))
        return response

    async def _share(self, cartid: str) -> None:
        """Change and read a cart, and leave it as it was, but for the others' changes."""
        random = self._world.random
        item = {"cartid": cartid, "itemid": GUESTS_ITEM}
        calls: list[tuple[str, Any]] = [
            ("SetItem", pb.SetItemRequest(**item, count=random.randint(1, 3), commandid="guest-0")),
            ("GetCart", pb.GetCartRequest(cartid=cartid)),
            ("RemoveItem", pb.RemoveItemRequest(**item, commandid="guest-1")),
            ("GetCart", pb.GetCartRequest(cartid=cartid)),
        ]
        await self._all(f"guest of {cartid}", calls, 0.05)

    async def _read(self, orderid: str) -> None:
        request = pb.GetOrderTicketRequest(orderid=orderid)
        await self._all(f"reader of {orderid}", [("GetOrderTicket", request)] * READS, 1.0)

    async def _all(self, customer: str, calls: Iterable[tuple[str, Any]], pause_seconds: float) -> None:
        """Make calls one after the other, up to the last or to a final status."""
        try:
            for method, request in calls:
                response = await self._recorded(customer, method, request)
                if method == "GetOrderTicket" and response.order_ticket.status in FINAL:
                    return
                await asyncio.sleep(self._world.random.expovariate(1 / pause_seconds))
        except (SagaError, TimeoutError) as error:
            if isinstance(error, NotFound) and self.has_expired(getattr(request, "cartid", "")):
                return
            self._world.problems.append(f"client {customer}: {error}")


_Described = tuple[Hashable, Any, Callable[[Any], Any]]
"""The resource of a call, its request for the history, and the answer in a response."""


def _about_cart(action: str, read: Callable[[Any], Any], shows: str = "cart") -> Callable[[Any], _Described]:
    def described(request: Any) -> _Described:
        itemid, count = getattr(request, "itemid", ""), getattr(request, "count", 0)
        return shop_history.cart(request.cartid), CartCall(action, itemid, count, shows), read

    return described


def _cart(response: Any) -> Cart:
    return Cart(response.cart.status, _items(response.cart))


def _items(answer: Any) -> tuple[tuple[str, int], ...]:
    return tuple((each.itemid, each.count) for each in answer.cart_items)


def _about_order(asks: str) -> Callable[[Any], _Described]:
    return lambda request: (shop_history.order(request.orderid), asks, _seen)


def _seen(response: Any) -> Seen:
    return Seen(response.order_ticket.status, "", "")


_DESCRIBED: Mapping[str, Callable[[Any], _Described]] = {
    "CreateCart": _about_cart("create", lambda response: (_cart(response), response.created), "created"),
    "GetCart": _about_cart("get", _cart),
    "SetItem": _about_cart("set", _cart),
    "AddItem": _about_cart("add", _items, "items"),
    "RemoveItem": _about_cart("remove", _cart),
    "CloseCart": _about_cart("close", _cart),
    "Checkout": _about_cart("checkout", lambda _: CHECKED_OUT, "status"),
    "GetOrderTicket": _about_order(GET),
    "CancelOrder": _about_order("cancel"),
}
