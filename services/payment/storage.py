"""Charges as entities."""

from dataclasses import asdict

from contract.tickets import CartItem
from sagakit.reminders import due_property
from sagakit.tables import Entity, Key
from services.payment.charge import Charge

PAYMENT = "Payment"


def payment_key(orderid: str) -> Key:
    return Key(PAYMENT, orderid)


def charge_entity(charge: Charge, due: float | None) -> Entity:
    """`due` (seconds since the epoch): time of the next reminder; None: settled."""
    return {
        "status": charge.status,
        "time": charge.time,
        "items": [asdict(item) for item in charge.items],
        "amount": charge.amount,
        "refunded": charge.refunded,
        "reason": charge.reason,
        "settled_time": charge.settled_time,
        "repeats": charge.reminders_sent,
        **due_property(charge.orderid, due),
    }


def to_charge(orderid: str, entity: Entity) -> Charge:
    return Charge(
        orderid=orderid,
        status=entity["status"],
        time=entity["time"],
        items=tuple(CartItem(**item) for item in entity["items"]),
        amount=entity["amount"],
        refunded=entity["refunded"],
        reason=entity["reason"],
        settled_time=entity["settled_time"],
        reminders_sent=entity["repeats"],
    )
