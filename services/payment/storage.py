"""Charges as entities."""

from sagakit.codec import from_entity, to_entity
from sagakit.reminders import due_property
from sagakit.tables import Entity, Key
from services.payment.charge import Charge

PAYMENT = "Payment"
_STORED_NAMES = {"reminders_sent": "repeats"}


def payment_key(orderid: str) -> Key:
    return Key(PAYMENT, orderid)


def charge_entity(charge: Charge, due: float | None) -> Entity:
    """`due` (seconds since the epoch): time of the next reminder; None: settled."""
    entity = to_entity(charge, exclude=("orderid",), rename=_STORED_NAMES, omit_none=("owner_digest",))
    return {**entity, **due_property(charge.orderid, due)}


def to_charge(orderid: str, entity: Entity) -> Charge:
    return from_entity(Charge, entity, rename=_STORED_NAMES, orderid=orderid)
