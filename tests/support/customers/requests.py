"""The customers' requests: the REST resources under /v1, and the older routes."""

import json
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import httpx

from tests.support import shop_history
from tests.support.cart_model import CHECKED_OUT, Cart, CartCall
from tests.support.customers.calls import Request
from tests.support.shop_history import GET, Seen

OLDER = "/purchase/api"
NOT_MODIFIED = 304
Tags = dict[tuple[str, str], Any]
"""Answers of which a customer has the ETag, by path and ETag."""


def put_cart(cartid: str, key: str) -> Request:
    def read(response: httpx.Response) -> tuple[Any, bool]:
        return _cart(cartid, response.json()), response.status_code == httpx.codes.CREATED

    return _change("PUT", cartid, "", CartCall("create", shows="created"), key, read)


def set_item(cartid: str, itemid: str, count: int, key: str) -> Request:
    return _change(
        "PUT", cartid, f"/items/{itemid}", CartCall("set", itemid, count), key, body={"count": count}
    )


def remove_item(cartid: str, itemid: str, key: str) -> Request:
    return _change("DELETE", cartid, f"/items/{itemid}", CartCall("remove", itemid), key)


def close_cart(cartid: str, key: str) -> Request:
    return _change("POST", cartid, ":close", CartCall("close"), key)


def checkout(cartid: str, key: str) -> Request:
    """The answer is the orderid."""
    return _change(
        "POST",
        cartid,
        ":checkout",
        CartCall("checkout", shows="status"),
        key,
        lambda response: response.json()["orderid"],
        recorded=_checked_out,
    )


def get_cart(cartid: str, tags: Tags) -> Request:
    """Conditional, if one of the `tags` is the cart's; the answer's is added."""
    read = lambda response: _cart(cartid, response.json())  # noqa: E731  as short as its name
    return _get(f"/v1/carts/{cartid}", shop_history.cart(cartid), CartCall("get"), tags, read)


def get_order(orderid: str, tags: Tags, wait_seconds: float = 0) -> Request:
    """Conditional, if one of the `tags` is the order's; the answer's is added."""
    read = lambda response: _seen(orderid, response)  # noqa: E731  as short as its name
    request = _get(f"/v1/orders/{orderid}", shop_history.order(orderid), GET, tags, read)
    return _waiting(request, wait_seconds) if wait_seconds else request


def cancel_order(orderid: str, key: str) -> Request:
    """The answer is what became of the order, or why it cannot be canceled."""
    return Request(
        "POST",
        f"/v1/orders/{orderid}:cancel",
        shop_history.order(orderid),
        "cancel",
        lambda response: _seen(orderid, response),
        headers={"Idempotency-Key": key},
        idempotency_key=key,
        may_be_rejected=True,
    )


def older(cartid: str, rpc: str, **item: Any) -> Request:
    """A cart's request by its older route: create_cart, add_item, close_cart or checkout."""
    action, read, shows = _OLDER[rpc]
    return Request(
        "POST",
        f"{OLDER}/{rpc}",
        shop_history.cart(cartid),
        CartCall(action, item.get("itemid", ""), item.get("count", 0), shows),
        read,
        body={"cartid": cartid, **item},
        idempotency_key=item.get("commandid"),
        recorded=_checked_out if rpc == "checkout" else lambda answer: answer,
    )


def older_cancel_order(orderid: str) -> Request:
    return Request(
        "POST",
        f"{OLDER}/cancel_order",
        shop_history.order(orderid),
        "cancel",
        lambda response: _seen(orderid, response, response.json()["order_ticket"]),
        body={"orderid": orderid},
        may_be_rejected=True,
    )


def _checked_out(_: str) -> str:
    return CHECKED_OUT


_OLDER: Mapping[str, tuple[str, Callable[[httpx.Response], Any], str]] = {
    "create_cart": ("create", lambda response: response.json()["cart"]["status"], "status"),
    "add_item": ("add", lambda response: _items(response.json()), "items"),
    "close_cart": ("close", lambda response: response.json()["cart"]["status"], "status"),
    "checkout": ("checkout", lambda response: response.json()["order_ticket"]["orderid"], "status"),
}


def _change(
    method: str,
    cartid: str,
    path: str,
    asks: CartCall,
    key: str,
    read: Callable[[httpx.Response], Any] | None = None,
    **more: Any,
) -> Request:
    return Request(
        method,
        f"/v1/carts/{cartid}{path}",
        shop_history.cart(cartid),
        asks,
        read or (lambda response: _cart(cartid, response.json())),
        headers={"Idempotency-Key": key},
        idempotency_key=key,
        may_be_rejected=True,
        **more,
    )


def _get(
    path: str, resource: Hashable, asks: Any, tags: Tags, read: Callable[[httpx.Response], Any]
) -> Request:
    known = next((etag for about, etag in reversed(tags) if about == path), None)

    def read_tagged(response: httpx.Response) -> Any:
        etag = response.headers["ETag"]
        if response.status_code == NOT_MODIFIED:
            return tags[path, etag] if etag == known else f"304 for {known}, with {etag}"
        tags[path, etag] = read(response)
        return tags[path, etag]

    headers = {"If-None-Match": known} if known else {}
    return Request("GET", path, resource, asks, read_tagged, headers=headers)


def _waiting(request: Request, seconds: float) -> Request:
    return Request(
        request.method,
        f"{request.path}?wait={seconds:g}",
        request.resource,
        request.asks,
        request.read,
        headers=request.headers,
    )


def _cart(cartid: str, answer: Mapping[str, Any]) -> Any:
    if answer["cartid"] != cartid:
        return f"another cart: {answer}"
    return Cart(answer["status"], _items(answer))


def _items(answer: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    return tuple((each["itemid"], each["count"]) for each in answer["cart_items"])


def _seen(orderid: str, response: httpx.Response, order: Mapping[str, Any] | None = None) -> Any:
    answer = order or response.json()
    if answer["orderid"] != orderid:
        return f"another order: {answer}"
    return Seen(answer["status"], response.headers.get("ETag", ""), json.dumps(answer, sort_keys=True))
