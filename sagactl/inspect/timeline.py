"""All that the services know of one order, in the order it happened."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from contract.tickets import OPEN
from sagactl.errors import CommandError
from sagakit.events import timestamp
from sagakit.tables import Entity, Key, Tables
from services.delivery.storage import delivery_key, to_shipment
from services.payment.charge import CANCELED, CHARGED
from services.payment.storage import payment_key, to_charge
from services.purchase.storage import ticket_key, to_ticket
from services.purchase.ticket import Ticket
from services.stock.inventory import RESERVED
from services.stock.storage import reservation_key, to_reservation


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """What became of an order at a service."""

    time: float
    service: str
    what: str


async def describe(tables: Tables, orderid: str) -> list[str]:
    """The ticket, what happened at each service, and what is still open. CommandError: no such order."""
    keys = [ticket_key(orderid), reservation_key(orderid), payment_key(orderid), delivery_key(orderid)]
    found = {key: row.entity for key, row in (await tables.lookup(keys)).items()}
    if ticket_key(orderid) not in found:
        raise CommandError(f"there is no order {orderid}")
    ticket = to_ticket(orderid, found[ticket_key(orderid)])
    happened = sorted(_happened(ticket, found), key=lambda each: each.time)
    still_open = list(_open(ticket, found)) or ["nothing"]
    return [
        f"order {orderid}: {ticket.status}{_because(ticket.reason)}",
        f"  {', '.join(f'{item.count} {item.itemid}' for item in ticket.items)}{_for(ticket.amount)}",
        "history:",
        *(f"  {timestamp(each.time)}  {each.service:<8}  {each.what}" for each in happened),
        f"still open: {'; '.join(still_open)}",
    ]


def _happened(ticket: Ticket, found: Mapping[Key, Entity]) -> Iterator[TimelineEntry]:
    for entry in ticket.history:
        by = f" (event {entry.eventid})" if entry.eventid else ""
        yield TimelineEntry(entry.time, "purchase", f"{entry.status}, by {entry.cause}{by}")
    yield from _at_stock(ticket.orderid, found)
    yield from _at_payment(ticket.orderid, found)
    if delivery_key(ticket.orderid) in found:
        shipment = to_shipment(ticket.orderid, found[delivery_key(ticket.orderid)])
        yield TimelineEntry(shipment.time, "delivery", shipment.status)


def _at_stock(orderid: str, found: Mapping[Key, Entity]) -> Iterator[TimelineEntry]:
    entity = found.get(reservation_key(orderid))
    if entity is None:
        return
    reservation = to_reservation(orderid, entity)
    first = reservation.status if reservation.settled_time is None else RESERVED
    yield TimelineEntry(reservation.time, "stock", f"{first}{_because(reservation.reason)}")
    if reservation.settled_time is not None:
        yield TimelineEntry(reservation.settled_time, "stock", reservation.status)


def _at_payment(orderid: str, found: Mapping[Key, Entity]) -> Iterator[TimelineEntry]:
    entity = found.get(payment_key(orderid))
    if entity is None:
        return
    charge = to_charge(orderid, entity)
    first = charge.status if charge.settled_time is None else CHARGED
    yield TimelineEntry(charge.time, "payment", f"{first}{_for(charge.amount)}{_because(charge.reason)}")
    if charge.settled_time is not None:
        given_back = f", {charge.refunded} given back" if charge.status == CANCELED else ""
        yield TimelineEntry(charge.settled_time, "payment", f"{charge.status}{given_back}")


def _open(ticket: Ticket, found: Mapping[Key, Entity]) -> Iterator[str]:
    orderid = ticket.orderid
    if ticket.status in OPEN:
        yield f"the ticket is {ticket.status}"
    elif ticket.awaits_reply:
        yield "its delivery is not arranged"
    if found.get(reservation_key(orderid), {}).get("status") == RESERVED:
        yield "what is reserved is neither sold nor released"
    if found.get(payment_key(orderid), {}).get("status") == CHARGED:
        yield "what is charged is neither settled nor given back"


def _because(reason: str | None) -> str:
    return f" ({reason})" if reason else ""


def _for(amount: int | None) -> str:
    return "" if amount is None else f", for {amount}"
