"""Carts and tickets as entities."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from contract.tickets import CartItem
from sagakit.reminders import due_property
from sagakit.tables import EXPIRES_AT, Entity, Key
from services.purchase.cart import Cart, Opened
from services.purchase.commands import ResultCodec
from services.purchase.ticket import HistoryEntry, Ticket

CART = "Cart"


def cart_key(cartid: str) -> Key:
    return Key(CART, cartid)


def cart_entity(cart: Cart, expires_at: float) -> Entity:
    """`expires_at` (seconds since the epoch): when it may be deleted; ignored once it is checked out."""
    if cart.orderid is not None:
        return _cart(cart)
    return {**_cart(cart), EXPIRES_AT: datetime.fromtimestamp(expires_at, UTC)}


def to_cart(cartid: str, entity: Entity) -> Cart:
    items = _to_items(entity["items"])
    return Cart(cartid, entity["status"], items, entity["orderid"], entity.get("owner", ""))


TICKET = "OrderTicket"


def ticket_key(orderid: str) -> Key:
    return Key(TICKET, orderid)


def ticket_entity(ticket: Ticket, due: float | None) -> Entity:
    """`due` (seconds since the epoch): time of the next reminder or of the deadline; None: settled."""
    return {
        "cartid": ticket.cartid,
        "items": _items(ticket.items),
        "status": ticket.status,
        "history": [_entry(entry) for entry in ticket.history],
        "amount": ticket.amount,
        "reason": ticket.reason,
        "repeats": ticket.reminders_sent,
        "owner": ticket.owner,
        **due_property(ticket.orderid, due),
    }


def to_ticket(orderid: str, entity: Entity) -> Ticket:
    return Ticket(
        orderid=orderid,
        cartid=entity["cartid"],
        items=_to_items(entity["items"]),
        status=entity["status"],
        history=tuple(HistoryEntry(**entry) for entry in entity["history"]),
        amount=entity["amount"],
        reason=entity["reason"],
        reminders_sent=entity["repeats"],
        owner=entity.get("owner", ""),
    )


def opened_at(entity: Entity) -> float:
    """Return the time of a ticket's checkout (seconds since the epoch)."""
    return float(entity["history"][0]["time"])


CART_CODEC: ResultCodec[Cart] = ResultCodec(
    dump=lambda cart: {"cartid": cart.cartid, **_cart(cart)},
    load=lambda entity: to_cart(entity["cartid"], entity),
)
OPENED_CODEC: ResultCodec[Opened] = ResultCodec(
    dump=lambda opened: {**CART_CODEC.dump(opened.cart), "created": opened.created},
    load=lambda entity: Opened(CART_CODEC.load(entity), entity["created"]),
)
TICKET_CODEC: ResultCodec[Ticket] = ResultCodec(
    dump=lambda ticket: {"orderid": ticket.orderid, **ticket_entity(ticket, due=None)},
    load=lambda entity: to_ticket(entity["orderid"], entity),
)
"""How results of commands are stored."""


def _to_items(items: list[dict[str, Any]]) -> tuple[CartItem, ...]:
    return tuple(CartItem(**item) for item in items)


def _entry(entry: HistoryEntry) -> Entity:
    """Omits `trace_id` if the entry has none."""
    return {name: value for name, value in asdict(entry).items() if (name, value) != ("trace_id", None)}


def _cart(cart: Cart) -> Entity:
    return {"status": cart.status, "items": _items(cart.items), "orderid": cart.orderid, "owner": cart.owner}


def _items(items: tuple[CartItem, ...]) -> list[dict[str, Any]]:
    return [{"itemid": item.itemid, "count": item.count} for item in items]
