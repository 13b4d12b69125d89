"""The client: the actions on carts, orders and the catalogue."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx

from sagaclient import events
from sagaclient.errors import InvalidResponseError, SagaClientError
from sagaclient.models import Cart, Item, Order, OrderEvent, OrderHistoryEntry
from sagaclient.retries import RetryPolicy
from sagaclient.transport import Token, Transport

M = TypeVar("M")

TIMEOUT_SECONDS = 15.0
"""Longer than the gateway waits for its services, so that a slow service is reported by the gateway."""
MAX_LONG_POLL_SECONDS = 20.0
POLL_INTERVAL_SECONDS = 0.1
MAX_PORT = 65_535
# A gateway on this machine is not reached through the proxy for outgoing requests.
_DIRECT = dict.fromkeys(("all://127.0.0.1", "all://[::1]", "all://localhost", "all://*.localhost"))

DEFAULT_RETRIES = RetryPolicy()


class SagaClient:
    """A connection to the API, for use in `async with`.

    Every change carries an idempotency key, so that it is executed once however often it is sent:
    by the client's own retries, or by a caller that passes its own `key` and repeats the call with it
    later or from another process. Without `key` each call is a change of its own.

    Every method raises SagaClientError, and so does the creation if `base_url` is invalid. Only after
    TransportError is it unknown whether the change was executed.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: Token | None = None,
        retries: RetryPolicy = DEFAULT_RETRIES,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Create a client of the gateway at `base_url`.

        `token` returns the user's bearer token, None if authentication is disabled; `transport`
        replaces the network, for tests.
        """
        self._http = httpx.AsyncClient(
            base_url=_server(base_url), timeout=TIMEOUT_SECONDS, transport=transport, mounts=_DIRECT
        )
        self._transport = Transport(self._http, token, retries)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def create_cart(self, cartid: str | None = None, *, key: str | None = None) -> Cart:
        """Open a cart and return it, or return the existing one; without an id, under a new random one."""
        method, path = ("POST", "/v1/carts") if cartid is None else ("PUT", _cart(cartid))
        return _parse(Cart.of, await self._transport.change(method, path, key))

    async def get_cart(self, cartid: str) -> Cart:
        """Return the cart. Raises NotFound."""
        return _parse(Cart.of, await self._transport.get(_cart(cartid)))

    async def set_item(self, cartid: str, itemid: str, count: int, *, key: str | None = None) -> Cart:
        """Set the quantity of an item in an open cart and return the cart. Raises NotFound, Conflict."""
        path = f"{_cart(cartid)}/items/{_segment(itemid)}"
        return _parse(Cart.of, await self._transport.change("PUT", path, key, {"count": count}))

    async def remove_item(self, cartid: str, itemid: str, *, key: str | None = None) -> Cart:
        """Remove an item from an open cart and return the cart. Raises NotFound, Conflict."""
        path = f"{_cart(cartid)}/items/{_segment(itemid)}"
        return _parse(Cart.of, await self._transport.change("DELETE", path, key))

    async def close_cart(self, cartid: str, *, key: str | None = None) -> Cart:
        """Close the cart for changes and return it. Raises NotFound, Conflict."""
        return _parse(Cart.of, await self._transport.change("POST", f"{_cart(cartid)}:close", key))

    async def checkout(self, cartid: str, *, key: str | None = None) -> Order:
        """Make a closed cart an order and return it, or return its order. Raises NotFound, Conflict."""
        return _parse(Order.of, await self._transport.change("POST", f"{_cart(cartid)}:checkout", key))

    async def get_order(self, orderid: str) -> Order:
        """Return the order. Raises NotFound."""
        return _parse(Order.of, await self._transport.get(_order(orderid)))

    async def wait_for_order(self, orderid: str, seconds: float) -> Order:
        """Return the order once it is final, or as it is after `seconds`. Raises NotFound."""
        deadline = time.monotonic() + seconds
        while True:
            wait = max(0.0, min(deadline - time.monotonic(), MAX_LONG_POLL_SECONDS))
            json = await self._transport.get(_order(orderid), {"wait": f"{wait:.3f}"}, wait)
            order = _parse(Order.of, json)
            if order.is_final or time.monotonic() >= deadline:
                return order
            await asyncio.sleep(POLL_INTERVAL_SECONDS)

    async def cancel_order(self, orderid: str, *, key: str | None = None) -> Order:
        """Cancel the order and return it. Raises Conflict if it is approved or has failed otherwise."""
        return _parse(Order.of, await self._transport.change("POST", f"{_order(orderid)}:cancel", key))

    async def order_history(self, orderid: str) -> tuple[OrderHistoryEntry, ...]:
        """Return the order's changes, oldest first. Raises NotFound."""
        json = await self._transport.get(f"{_order(orderid)}/history")
        return _parse(lambda json: tuple(map(OrderHistoryEntry.of, json["history"])), json)

    def order_events(self, orderid: str, last_event_id: str = "") -> AsyncIterator[OrderEvent]:
        """Yield every service's events about the order as they happen, then the end.

        If a connection is interrupted or silent, the stream continues on another one: no event is missed,
        none is repeated; after `max_attempts` of the RetryPolicy in a row without a new event the error is
        raised. With `last_event_id` the stream starts after that event. Raises NotFound.
        """
        return events.follow(self._transport, _segment(orderid), last_event_id)

    async def items(self, page_size: int = 100) -> AsyncIterator[Item]:
        """Yield the catalogue by itemid, requested in pages of `page_size`."""
        token = ""
        while True:
            page = await self._transport.get("/v1/items", {"page_size": page_size, "page_token": token})
            for item in _parse(lambda json: tuple(map(Item.of, json["items"])), page):
                yield item
            token = _parse(lambda json: str(json["next_page_token"]), page)
            if not token:
                return

    async def get_item(self, itemid: str) -> Item:
        """Return an item of the catalogue. Raises NotFound."""
        return _parse(Item.of, await self._transport.get(f"/v1/items/{_segment(itemid)}"))


def _server(base_url: str) -> httpx.URL:
    """Return the URL of a server. Raises SagaClientError: httpx would raise others, some at each request."""
    try:
        url = httpx.URL(base_url)
        url.host.encode("idna")  # Names that cannot be looked up are a UnicodeError.
    except (httpx.InvalidURL, UnicodeError) as error:
        raise SagaClientError(f"invalid URL: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host or (url.port or 0) > MAX_PORT:
        raise SagaClientError("invalid URL: it must be http(s)://HOST[:PORT]")
    return url


def _cart(cartid: str) -> str:
    return f"/v1/carts/{_segment(cartid)}"


def _order(orderid: str) -> str:
    return f"/v1/orders/{_segment(orderid)}"


def _segment(name: str) -> str:
    return quote(name, safe="")


def _parse(model: Callable[[Any], M], json: Any) -> M:
    try:
        return model(json)
    except (KeyError, TypeError) as error:
        raise InvalidResponseError(f"unexpected response: {json}") from error
