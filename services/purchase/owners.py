"""Ownership checks: carts and orders of other users are reported as NotFound."""

from sagakit.auth import caller as callers
from sagakit.errors import NotFound
from sagakit.store import Snapshot
from services.purchase.cart import Cart
from services.purchase.storage import cart_key, ticket_key, to_cart, to_ticket
from services.purchase.ticket import Ticket


def cart_of(found: Snapshot, cartid: str) -> Cart:
    """Return the cart. Raises NotFound if it does not exist or belongs to another user."""
    entity = found.get(cart_key(cartid))
    cart = None if entity is None else to_cart(cartid, entity)
    if cart is None or not callers.current().may_see(cart.owner):
        raise NotFound("unknown-cart", f"there is no cart {cartid}")
    return cart


def ticket_of(found: Snapshot, orderid: str) -> Ticket:
    """Return the ticket. Raises NotFound if it does not exist or belongs to another user."""
    entity = found.get(ticket_key(orderid))
    ticket = None if entity is None else to_ticket(orderid, entity)
    if ticket is None or not callers.current().may_see(ticket.owner):
        raise NotFound("unknown-order", f"there is no order {orderid}")
    return ticket


def authorize_cart(found: Snapshot, cartid: str) -> None:
    """Raise NotFound if the cart exists and belongs to another user."""
    if found.get(cart_key(cartid)) is not None:
        cart_of(found, cartid)


def authorize_order(found: Snapshot, orderid: str) -> None:
    """Raise NotFound if the order does not exist or belongs to another user."""
    ticket_of(found, orderid)
