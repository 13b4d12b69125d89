"""Find what ends an order whose records were restored to an earlier moment than those of other services.

Most orders end without help: an entity that awaits a reply has its reminder. What no entity waits for
is published again, from the record of the service that published it. The rest a person must decide.
"""

from dataclasses import dataclass

from contract.ownership import owner_digest
from contract.tickets import (
    APPROVED,
    CANCELED,
    OPEN,
    PAID,
    PAYMENT_FAILED,
    PRE_APPROVED,
    RESERVED,
    TERMINAL,
    TicketMessage,
    must_agree,
)
from sagactl.inspect.order_records import OrderRecords
from sagakit.errors import Poison
from services.payment import charge as charges
from services.payment.charge import DECLINED, SETTLED, Charge
from services.purchase.ticket import Ticket
from services.stock import inventory
from services.stock.inventory import SOLD, Reservation


@dataclass(frozen=True, slots=True)
class Decisions:
    """Decisions of the operator about all orders concerned."""

    reserve_again: bool = False
    """Reserve units for approved orders that have no reservation."""
    cancel_lost: bool = False
    """Cancel the orders that have no ticket, unless they were approved."""


@dataclass(frozen=True, slots=True)
class Republish:
    """An event to publish again, on the topic of the service."""

    service: str
    ticket: TicketMessage

    def __str__(self) -> str:
        return f"{self.service} {self.ticket.status}"


Remedy = Republish | str
"""Text: what a person must decide about."""


def remedy(orderid: str, records: OrderRecords, decided: Decisions) -> Remedy | None:
    """Return what ends an order; None if it has ended, or ends by reminders or at its deadline."""
    if records.corrupt:
        return f"corrupt: {records.corrupt[0]}"
    if unknown := _unknown_status(records):
        return f"a status is unknown to this version: {unknown}"
    ticket = records.ticket
    if ticket is None:
        return _of_lost_ticket(orderid, records, decided)
    if ticket.status == APPROVED or (ticket.status in OPEN and _was_approved(records)):
        return _of_approved(ticket, records, decided)
    return _of_open(records) if ticket.status in OPEN else _of_failed(ticket, records)


def last_change(records: OrderRecords) -> float:
    """Return when a record of the order changed last (seconds since the epoch); 0 if there is none."""
    ticket, shipment = records.ticket, records.shipment
    times: list[float | None] = [ticket.history[-1].time] if ticket else []
    times += [shipment.time] if shipment else []
    for each in (records.reservation, records.charge):
        times += [each.time, each.settled_time] if each else []
    return max((time for time in times if time is not None), default=0.0)


def _unknown_status(records: OrderRecords) -> str | None:
    for record, known in (
        (records.ticket, OPEN | TERMINAL),
        (records.reservation, inventory.STATUSES),
        (records.charge, charges.STATUSES),
    ):
        if record is not None and record.status not in known:
            return record.status
    return None


def _of_lost_ticket(orderid: str, records: OrderRecords, decided: Decisions) -> Remedy:
    record = records.reservation or records.charge
    is_charged = records.charge is not None and records.charge.status in charges.OPEN
    if _was_approved(records):
        return "its ticket is lost, and it was approved"
    if record is not None and not is_charged and not _is_open(records.reservation):
        return "its ticket is lost; nothing is reserved or charged for it"
    if not decided.cancel_lost:
        return "its ticket is lost; --cancel-lost releases and refunds what is reserved and charged for it"
    items, digest = (record.items, record.owner_digest) if record else ((), None)
    return Republish("purchase", TicketMessage(orderid, CANCELED, items, owner_digest=digest))


def _of_open(records: OrderRecords) -> Remedy | None:
    charge = records.charge
    if charge is None or charge.status != DECLINED or _is_open(records.reservation):
        return None
    return _of_charge(charge, PAYMENT_FAILED)


def _of_approved(ticket: Ticket, records: OrderRecords, decided: Decisions) -> Remedy | None:
    """Return what ends an order that is approved, or was: by its ticket it may be open again."""
    reservation, charge = records.reservation, records.charge
    if reservation is None:
        return None if ticket.status == PRE_APPROVED else _reserve_again(ticket, decided)
    if contradiction := _contradiction(ticket, records):
        return f"it was approved, but {contradiction}"
    if charge is None and not reservation.waives_payment:
        # Asked again, the provider gives the same answer.
        return None if _is_open(reservation) else _of_reservation(reservation, RESERVED)
    if ticket.status in OPEN:
        if charge is None or reservation.waives_payment:
            return _of_reservation(reservation, PAID)
        return _of_charge(charge, PAID) if charge.status == SETTLED else None
    is_shipment_lost = records.shipment is None and not ticket.awaits_reply
    return _of_ticket(ticket, APPROVED) if is_shipment_lost else None


def _of_failed(ticket: Ticket, records: OrderRecords) -> Remedy | None:
    if _was_approved(records):
        return f"its ticket is {ticket.status}, but it was approved"
    if records.charge is None and ticket.status in {CANCELED, PAYMENT_FAILED}:
        # The provider may have charged it.
        return _of_ticket(ticket, ticket.status)
    return None


def _reserve_again(ticket: Ticket, decided: Decisions) -> Remedy:
    if decided.reserve_again:
        return _of_ticket(ticket, PRE_APPROVED)
    return "it was approved, and its reservation is lost; --reserve-again reserves units for it"


def _was_approved(records: OrderRecords) -> bool:
    """Whether another service than purchase has recorded that the order was approved."""
    sold = records.reservation is not None and records.reservation.status == SOLD
    settled = records.charge is not None and records.charge.status == SETTLED
    return sold or settled or records.shipment is not None


def _is_open(reservation: Reservation | None) -> bool:
    """Whether stock sends reminders of the reservation."""
    return reservation is not None and reservation.status == inventory.RESERVED


def _contradiction(ticket: Ticket, records: OrderRecords) -> str:
    """Return what other services have on record that an approved order cannot have; "" if nothing."""
    reservation, charge, shipment = records.reservation, records.charge, records.shipment
    if reservation is not None and reservation.status not in {inventory.RESERVED, SOLD}:
        return f"its reservation is {reservation.status}"
    if charge is not None and charge.status not in charges.OPEN | {SETTLED}:
        return f"its charge is {charge.status}"
    approval = _of_ticket(ticket, APPROVED).ticket
    try:
        for each in (reservation, charge):
            must_agree(approval, each.items if each else (), each.amount if each else None)
        must_agree(approval, shipment.items if shipment else (), None)
    except Poison as error:
        return error.reason
    return ""


def _of_ticket(ticket: Ticket, status: str) -> Republish:
    digest = owner_digest(ticket.orderid, ticket.owner)
    amount, reason = (None, None) if status == PRE_APPROVED else (ticket.amount, ticket.reason)
    message = TicketMessage(ticket.orderid, status, ticket.items, amount, reason, digest)
    return Republish("purchase", message)


def _of_reservation(record: Reservation, status: str) -> Republish:
    amount = record.amount if status == RESERVED else None
    message = TicketMessage(record.orderid, status, record.items, amount, owner_digest=record.owner_digest)
    return Republish("stock", message)


def _of_charge(charge: Charge, status: str) -> Republish:
    message = TicketMessage(charge.orderid, status, charge.items, charge.amount, charge.reason)
    return Republish("payment", message)
