"""A shopping cart: filled while open, then closed, then checked out once."""

from dataclasses import dataclass, replace

from contract.fields import MAX_ITEMS_PER_CART, TOO_MANY_ITEMS, checked_count
from contract.tickets import CartItem
from sagakit.codec import Stored
from sagakit.errors import FailedPrecondition

OPEN = "open"
CLOSED = "closed"
CHECKED_OUT = "checked-out"


@dataclass(frozen=True, slots=True)
class Cart(Stored):
    """Items to buy, in the order they were added."""

    cartid: str
    status: str = OPEN
    items: tuple[CartItem, ...] = ()
    orderid: str | None = None
    """The order opened by its checkout."""
    owner: str = ""
    """The `sub` of the token of the caller that created it; empty if authentication is disabled."""


@dataclass(frozen=True, slots=True)
class Opened:
    """Result of creating a cart."""

    cart: Cart
    created: bool
    """False: the cart existed already."""


def add(cart: Cart, itemid: str, count: int) -> Cart:
    """Add `count` units of an item."""
    _must_be_open(cart)
    present = next((item.count for item in cart.items if item.itemid == itemid), 0)
    return put(cart, itemid, checked_count("count", present + count))


def put(cart: Cart, itemid: str, count: int) -> Cart:
    """Set the units of an item to `count`; an item of the cart keeps its position.

    Raises FailedPrecondition unless the cart is open and has room for the item.
    """
    _must_be_open(cart)
    items = {item.itemid: item for item in cart.items}
    before = items.get(itemid)
    items[itemid] = replace(before or CartItem(itemid, count), count=count)
    if before is None:
        _must_fit(len(items))
    return replace(cart, items=tuple(items.values()))


def remove(cart: Cart, itemid: str) -> Cart:
    """Remove an item; no effect if the cart does not contain it."""
    _must_be_open(cart)
    return replace(cart, items=tuple(item for item in cart.items if item.itemid != itemid))


def close(cart: Cart) -> Cart:
    """Close an open cart; any other is returned unchanged."""
    return replace(cart, status=CLOSED) if cart.status == OPEN else cart


def check_out(cart: Cart, orderid: str) -> Cart:
    """Check the cart out as `orderid`.

    Raises FailedPrecondition unless it is closed, not empty, and has at most MAX_ITEMS_PER_CART items: an
    earlier version may have allowed more.
    """
    if cart.status != CLOSED:
        raise FailedPrecondition("cart-not-closed", f"the cart is {cart.status}: close it first")
    if not cart.items:
        raise FailedPrecondition("cart-empty", "there is nothing in the cart")
    _must_fit(len(cart.items))
    return replace(cart, status=CHECKED_OUT, orderid=orderid)


def _must_fit(count: int) -> None:
    if count > MAX_ITEMS_PER_CART:
        raise FailedPrecondition(TOO_MANY_ITEMS, f"a cart holds at most {MAX_ITEMS_PER_CART} different items")


def _must_be_open(cart: Cart) -> None:
    if cart.status != OPEN:
        raise FailedPrecondition("cart-not-open", f"the cart is {cart.status}")
