"""The charge of an order: made once, refunded if the order fails."""

from dataclasses import dataclass, replace

from contract.tickets import CartItem

CHARGED = "charged"
SETTLED = "settled"
DECLINED = "declined"
CANCELED = "canceled"

NO_AMOUNT = "no-amount"


@dataclass(frozen=True, slots=True)
class Charge:
    """The decision about an order's payment; declined ones are stored too."""

    orderid: str
    status: str
    time: float
    """Time of the decision (seconds since the epoch)."""
    items: tuple[CartItem, ...] = ()
    amount: int | None = None
    """Amount requested, in minor units of the currency."""
    refunded: int = 0
    reason: str | None = None
    """Why it was declined."""
    settled_time: float | None = None
    """Time of the settlement or refund (seconds since the epoch)."""
    reminders_sent: int = 0
    """Number of reminders since the decision."""


def settled(charge: Charge, now: float) -> Charge:
    """Return the charge as settled; one that is not open is returned unchanged."""
    if charge.status != CHARGED:
        return charge
    return replace(charge, status=SETTLED, settled_time=now)


def canceled(charge: Charge | None, orderid: str, refunded: int, now: float) -> Charge:
    """Return the charge as refunded; without one, a tombstone that prevents it."""
    if charge is None:
        return Charge(orderid, CANCELED, now, refunded=refunded)
    if charge.status != CHARGED:
        return charge
    return replace(charge, status=CANCELED, refunded=refunded, settled_time=now)


def with_reminder(charge: Charge) -> Charge:
    """Return the charge with one more reminder sent."""
    return replace(charge, reminders_sent=charge.reminders_sent + 1)
