"""Whose carts and orders are whose: nobody finds what belongs to somebody else."""

from sagakit.auth import caller as callers
from sagakit.errors import NotFound
from sagakit.store import Snapshot
from services.purchase.cart import Cart
from services.purchase.storage import cart_key, ticket_key, to_cart, to_ticket
from services.purchase.ticket import Ticket


def cart_of(found: Snapshot, cartid: str) -> Cart:
    """The cart. NotFound as well where it is somebody else's: the caller is not to know that it is there."""
    entity = found.get(cart_key(cartid))
    cart = None if entity is None else to_cart(cartid, entity)
    if cart is None or not callers.current().may_see(cart.owner):
        raise NotFound("unknown-cart", f"there is no cart {cartid}")
    return cart


def ticket_of(found: Snapshot, orderid: str) -> Ticket:
    """The ticket. NotFound as well where it is somebody else's."""
    entity = found.get(ticket_key(orderid))
    ticket = None if entity is None else to_ticket(orderid, entity)
    if ticket is None or not callers.current().may_see(ticket.owner):
        raise NotFound("unknown-order", f"there is no order {orderid}")
    return ticket


def may_see_cart(found: Snapshot, cartid: str) -> None:
    """NotFound where there is such a cart and it is somebody else's."""
    if found.get(cart_key(cartid)) is not None:
        cart_of(found, cartid)


def may_see_ticket(found: Snapshot, orderid: str) -> None:
    """NotFound unless there is such an order and the caller may see it."""
    ticket_of(found, orderid)
