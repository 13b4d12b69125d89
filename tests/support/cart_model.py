"""A cart as its only customer would know it: the specification that histories of calls are compared with."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Items = tuple[tuple[str, int], ...]
"""Itemids and quantities, in the order in which the items were added."""


class Cart(NamedTuple):
    """A cart, as customers see it."""

    status: str
    """open, closed, checked-out; "": the cart does not exist."""
    items: Items = ()


NO_CART = Cart("")
CHECKED_OUT = "checked-out"


class CartCall(NamedTuple):
    """A call about a cart."""

    action: str
    itemid: str = ""
    count: int = 0
    shows: str = "cart"
    """The part in the answer: cart, items, status; or created: the cart, and whether it is new."""


def apply(cart: Cart, call: CartCall) -> tuple[Cart, Any]:
    """Return the cart after a call, and the answer: what the call shows of it, or why it is rejected."""
    change, allowed, reason = _RULES[call.action]
    if not cart.status and call.action != "create":
        return cart, "unknown-cart"
    if allowed and cart.status not in allowed:
        return cart, reason
    if call.action == "checkout" and not cart.items:
        return cart, "cart-empty"
    after = change(cart, call)
    shown = {"cart": after, "items": after.items, "status": after.status, "created": (after, not cart.status)}
    return after, shown[call.shows]


def _with(cart: Cart, itemid: str, count: int) -> Cart:
    items = {**dict(cart.items), itemid: count}
    return cart._replace(items=tuple(items.items()))


def _without(cart: Cart, itemid: str) -> Cart:
    return cart._replace(items=tuple(each for each in cart.items if each[0] != itemid))


_Change = Callable[[Cart, CartCall], Cart]
_OPEN = ("open",)
_RULES: Mapping[str, tuple[_Change, tuple[str, ...], str]] = {
    "create": (lambda cart, _: cart if cart.status else Cart("open"), (), ""),
    "get": (lambda cart, _: cart, (), ""),
    "set": (lambda cart, call: _with(cart, call.itemid, call.count), _OPEN, "cart-not-open"),
    "add": (
        lambda cart, call: _with(cart, call.itemid, dict(cart.items).get(call.itemid, 0) + call.count),
        _OPEN,
        "cart-not-open",
    ),
    "remove": (lambda cart, call: _without(cart, call.itemid), _OPEN, "cart-not-open"),
    "close": (
        lambda cart, _: cart._replace(status="closed") if cart.status == "open" else cart,
        (),
        "",
    ),
    "checkout": (
        lambda cart, _: cart._replace(status=CHECKED_OUT),
        ("closed", CHECKED_OUT),
        "cart-not-closed",
    ),
}
"""Action → what it changes, the statuses in which it is allowed (any, if there are none), the rejection."""
