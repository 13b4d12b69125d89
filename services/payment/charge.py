"""What was charged for an order: once, and given back where the order failed."""

from dataclasses import dataclass, replace

from contract.tickets import CartItem

CHARGED = "charged"
SETTLED = "settled"
DECLINED = "declined"
CANCELED = "canceled"

NO_AMOUNT = "no-amount"


@dataclass(frozen=True, slots=True)
class Charge:
    """What was decided about an order's payment; remembered, refusals too."""

    orderid: str
    status: str
    time: float
    """When it was decided (seconds since the epoch)."""
    items: tuple[CartItem, ...] = ()
    amount: int | None = None
    """What was to be charged, in minor units."""
    refunded: int = 0
    reason: str | None = None
    """Why it was declined."""
    settled_time: float | None = None
    """When a charge was settled or given back."""
    reminders_sent: int = 0
    """How often its answer was repeated since it was given."""


def settled(charge: Charge, now: float) -> Charge:
    """The charge of an approved order is there to stay; anything else is left as it is."""
    if charge.status != CHARGED:
        return charge
    return replace(charge, status=SETTLED, settled_time=now)


def canceled(charge: Charge | None, orderid: str, refunded: int, now: float) -> Charge:
    """The charge of a failed order, given back; a tombstone where none was known of."""
    if charge is None:
        return Charge(orderid, CANCELED, now, refunded=refunded)
    if charge.status != CHARGED:
        return charge
    return replace(charge, status=CANCELED, refunded=refunded, settled_time=now)


def with_reminder(charge: Charge) -> Charge:
    """The charge, after its answer was given once more."""
    return replace(charge, reminders_sent=charge.reminders_sent + 1)
