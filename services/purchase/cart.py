"""A shopping cart: filled while open, then closed, then checked out once."""

from dataclasses import dataclass, replace

from contract.fields import MAX_ITEMS_PER_CART, checked_count
from contract.tickets import CartItem
from sagakit.errors import FailedPrecondition, InvalidArgument

OPEN = "open"
CLOSED = "closed"
CHECKED_OUT = "checked-out"


@dataclass(frozen=True, slots=True)
class Cart:
    """What somebody means to buy, in the order it was added."""

    cartid: str
    status: str = OPEN
    items: tuple[CartItem, ...] = ()
    orderid: str | None = None
    """The order it became, once checked out."""
    owner: str = ""
    """Who opened it: the `sub` of their token; empty where nobody signs in."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A cart that was asked to be opened."""

    cart: Cart
    created: bool
    """It was not there before."""


def add(cart: Cart, itemid: str, count: int) -> Cart:
    """`count` more of an item."""
    _must_be_open(cart)
    there = next((item.count for item in cart.items if item.itemid == itemid), 0)
    return put(cart, itemid, checked_count("count", there + count))


def put(cart: Cart, itemid: str, count: int) -> Cart:
    """`count` of an item, however many there were; it keeps its place among the others."""
    _must_be_open(cart)
    items = {item.itemid: item for item in cart.items} | {itemid: CartItem(itemid, count)}
    if len(items) > MAX_ITEMS_PER_CART:
        raise InvalidArgument("itemid", f"a cart holds at most {MAX_ITEMS_PER_CART} different items")
    return replace(cart, items=tuple(items.values()))


def remove(cart: Cart, itemid: str) -> Cart:
    """Without that item, whether or not it was there."""
    _must_be_open(cart)
    return replace(cart, items=tuple(item for item in cart.items if item.itemid != itemid))


def close(cart: Cart) -> Cart:
    """Closed, or as it is where it is closed already."""
    return replace(cart, status=CLOSED) if cart.status == OPEN else cart


def check_out(cart: Cart, orderid: str) -> Cart:
    """Checked out as `orderid`; only a closed cart with something in it can be."""
    if cart.status != CLOSED:
        raise FailedPrecondition("cart-not-closed", f"the cart is {cart.status}: close it first")
    if not cart.items:
        raise FailedPrecondition("cart-empty", "there is nothing in the cart")
    return replace(cart, status=CHECKED_OUT, orderid=orderid)


def _must_be_open(cart: Cart) -> None:
    if cart.status != OPEN:
        raise FailedPrecondition("cart-not-open", f"the cart is {cart.status}")
