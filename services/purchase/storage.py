"""Carts and tickets as entities."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from contract.tickets import CartItem
from sagakit.tables import EXPIRES_AT, Entity, Key
from sagakit.watch import waiting
from services.purchase.cart import Cart
from services.purchase.ticket import Passage, Ticket


def cart_key(cartid: str) -> Key:
    return Key("Cart", cartid)


def cart_entity(cart: Cart, expires_at: float) -> Entity:
    """`expires_at` (seconds since the epoch): when it may be removed, unless it became an order."""
    entity = {"status": cart.status, "items": _items(cart.items), "orderid": cart.orderid}
    if cart.orderid is not None:
        return entity
    return {**entity, EXPIRES_AT: datetime.fromtimestamp(expires_at, UTC)}


def to_cart(cartid: str, entity: Entity) -> Cart:
    return Cart(cartid, entity["status"], to_items(entity["items"]), entity["orderid"])


TICKET = "OrderTicket"


def ticket_key(orderid: str) -> Key:
    return Key(TICKET, orderid)


def ticket_entity(ticket: Ticket, due: float | None) -> Entity:
    """`due`: when it is to be looked at again; None: never, it is settled."""
    return {
        "cartid": ticket.cartid,
        "items": _items(ticket.items),
        "status": ticket.status,
        "history": [asdict(passage) for passage in ticket.history],
        "amount": ticket.amount,
        "reason": ticket.reason,
        "repeats": ticket.repeats,
        **waiting(ticket.orderid, due),
    }


def to_ticket(orderid: str, entity: Entity) -> Ticket:
    return Ticket(
        orderid=orderid,
        cartid=entity["cartid"],
        items=to_items(entity["items"]),
        status=entity["status"],
        history=tuple(Passage(**passage) for passage in entity["history"]),
        amount=entity["amount"],
        reason=entity["reason"],
        repeats=entity["repeats"],
    )


def items_entity(items: tuple[CartItem, ...]) -> Entity:
    """The items alone, as the answer to a command is remembered."""
    return {"items": _items(items)}


def to_items(items: list[dict[str, Any]]) -> tuple[CartItem, ...]:
    return tuple(CartItem(**item) for item in items)


def _items(items: tuple[CartItem, ...]) -> list[dict[str, Any]]:
    return [{"itemid": item.itemid, "count": item.count} for item in items]
