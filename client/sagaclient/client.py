"""The client: what can be done with carts, orders and the catalogue."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx

from sagaclient import events
from sagaclient.errors import InvalidResponseError
from sagaclient.models import Cart, Item, Order, OrderEvent, OrderHistoryEntry
from sagaclient.retries import RetryPolicy
from sagaclient.transport import Token, Transport

M = TypeVar("M")

TIMEOUT_SECONDS = 15.0
"""Longer than the gateway waits for its services, so that it is the one to say that it took too long."""
MAX_WAIT_SECONDS = 20.0
POLL_INTERVAL_SECONDS = 0.1

DEFAULT_RETRIES = RetryPolicy()


class SagaClient:
    """A connection to the API, from entering to leaving.

    Whatever changes something carries an idempotency key, so it is made once however often it has to
    be asked for: by the client, which repeats what was not answered, or by you, who may give a `key`
    of your own and repeat the call with it, from another process or tomorrow. Every method raises
    SagaClientError; TransportError alone leaves open what has happened.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: Token | None = None,
        retries: RetryPolicy = DEFAULT_RETRIES,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`token`: gives the bearer token of whom to act for. `transport`: what requests go through."""
        self._http = httpx.AsyncClient(base_url=base_url, timeout=TIMEOUT_SECONDS, transport=transport)
        self._transport = Transport(self._http, token, retries)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def create_cart(self, cartid: str, *, key: str | None = None) -> Cart:
        """A new open cart, or the one that is there."""
        return _read(Cart.of, await self._transport.change("PUT", _cart(cartid), key))

    async def get_cart(self, cartid: str) -> Cart:
        return _read(Cart.of, await self._transport.get(_cart(cartid)))

    async def set_item(self, cartid: str, itemid: str, count: int, *, key: str | None = None) -> Cart:
        """The cart with so many pieces of the item, however many it had."""
        path = f"{_cart(cartid)}/items/{_segment(itemid)}"
        return _read(Cart.of, await self._transport.change("PUT", path, key, {"count": count}))

    async def remove_item(self, cartid: str, itemid: str, *, key: str | None = None) -> Cart:
        path = f"{_cart(cartid)}/items/{_segment(itemid)}"
        return _read(Cart.of, await self._transport.change("DELETE", path, key))

    async def close_cart(self, cartid: str, *, key: str | None = None) -> Cart:
        return _read(Cart.of, await self._transport.change("POST", f"{_cart(cartid)}:close", key))

    async def checkout(self, cartid: str, *, key: str | None = None) -> Order:
        """The order that a closed cart becomes, or has become; it goes its way from now on."""
        return _read(Order.of, await self._transport.change("POST", f"{_cart(cartid)}:checkout", key))

    async def get_order(self, orderid: str) -> Order:
        return _read(Order.of, await self._transport.get(_order(orderid)))

    async def wait_for_order(self, orderid: str, seconds: float) -> Order:
        """The order once it has ended, or as it is when the time is up."""
        deadline = time.monotonic() + seconds
        while True:
            wait = max(0.0, min(deadline - time.monotonic(), MAX_WAIT_SECONDS))
            answer = await self._transport.get(_order(orderid), {"wait": f"{wait:.3f}"}, wait)
            order = _read(Order.of, answer)
            if order.has_ended or time.monotonic() >= deadline:
                return order
            await asyncio.sleep(POLL_INTERVAL_SECONDS)

    async def cancel_order(self, orderid: str, *, key: str | None = None) -> Order:
        """The canceled order; Conflict where it has ended otherwise."""
        return _read(Order.of, await self._transport.change("POST", f"{_order(orderid)}:cancel", key))

    async def order_history(self, orderid: str) -> tuple[OrderHistoryEntry, ...]:
        """Every move, the oldest first."""
        answer = await self._transport.get(f"{_order(orderid)}/history")
        return _read(lambda json: tuple(map(OrderHistoryEntry.of, json["history"])), answer)

    def order_events(self, orderid: str, last_event_id: str = "") -> AsyncIterator[OrderEvent]:
        """Each move of the order at any service, as it happens, and its end, which is the last.

        Where a connection breaks off another goes on: no move is missed, and none comes twice.
        `last_event_id`: go on after that event.
        """
        return events.follow(self._transport, _segment(orderid), last_event_id)

    async def items(self, page_size: int = 100) -> AsyncIterator[Item]:
        """The catalogue by itemid, asked for a page at a time."""
        token = ""
        while True:
            page = await self._transport.get("/v1/items", {"page_size": page_size, "page_token": token})
            for item in _read(lambda json: tuple(map(Item.of, json["items"])), page):
                yield item
            token = _read(lambda json: str(json["next_page_token"]), page)
            if not token:
                return

    async def get_item(self, itemid: str) -> Item:
        return _read(Item.of, await self._transport.get(f"/v1/items/{_segment(itemid)}"))


def _cart(cartid: str) -> str:
    return f"/v1/carts/{_segment(cartid)}"


def _order(orderid: str) -> str:
    return f"/v1/orders/{_segment(orderid)}"


def _segment(name: str) -> str:
    return quote(name, safe="")


def _read(model: Callable[[Any], M], json: Any) -> M:
    try:
        return model(json)
    except (KeyError, TypeError) as error:
        raise InvalidResponseError(f"{model} cannot be made of {json}") from error
