"""Carts and tickets as entities."""

from datetime import UTC, datetime
from functools import partial

from sagakit.codec import from_entity, to_entity
from sagakit.reminders import due_property
from sagakit.tables import EXPIRES_AT, Entity, Key
from services.purchase.cart import Cart, Opened
from services.purchase.commands import ResultCodec
from services.purchase.ticket import Ticket

CART = "Cart"


def cart_key(cartid: str) -> Key:
    return Key(CART, cartid)


def cart_entity(cart: Cart, expires_at: float) -> Entity:
    """`expires_at` (seconds since the epoch): when it may be deleted; ignored once it is checked out."""
    expiry = {EXPIRES_AT: datetime.fromtimestamp(expires_at, UTC)} if cart.orderid is None else {}
    return {**to_entity(cart, exclude=("cartid",)), **expiry}


def to_cart(cartid: str, entity: Entity) -> Cart:
    return from_entity(Cart, entity, cartid=cartid)


TICKET = "OrderTicket"
_STORED_NAMES = {"reminders_sent": "repeats"}


def ticket_key(orderid: str) -> Key:
    return Key(TICKET, orderid)


def ticket_entity(ticket: Ticket, due: float | None) -> Entity:
    """`due` (seconds since the epoch): time of the next reminder or of the deadline; None: settled."""
    return {**_ticket(ticket, exclude=("orderid",)), **due_property(ticket.orderid, due)}


def to_ticket(orderid: str, entity: Entity) -> Ticket:
    return from_entity(Ticket, entity, rename=_STORED_NAMES, orderid=orderid)


def opened_at(entity: Entity) -> float:
    """Return the time of a ticket's checkout (seconds since the epoch)."""
    return float(entity["history"][0]["time"])


def _ticket(ticket: Ticket, exclude: tuple[str, ...] = ()) -> Entity:
    if not ticket.also_awaits:
        exclude = (*exclude, "also_awaits")
    return to_entity(ticket, exclude=exclude, rename=_STORED_NAMES, omit_none=("trace_id",))


CART_CODEC: ResultCodec[Cart] = ResultCodec(dump=to_entity, load=partial(from_entity, Cart))
OPENED_CODEC: ResultCodec[Opened] = ResultCodec(
    dump=lambda opened: {**CART_CODEC.dump(opened.cart), "created": opened.created},
    load=lambda entity: Opened(CART_CODEC.load(entity), entity["created"]),
)
TICKET_CODEC: ResultCodec[Ticket] = ResultCodec(
    dump=_ticket, load=partial(from_entity, Ticket, rename=_STORED_NAMES)
)
"""How results of commands are stored."""
