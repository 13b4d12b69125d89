"""The charge of an order: intended, then made once, and refunded if the order fails."""

from dataclasses import dataclass, replace

from contract.tickets import CartItem
from sagakit.codec import Stored

CHARGING = "charging"
"""The provider is being asked. Committed before it is, so that no charge can be forgotten."""
CHARGED = "charged"
SETTLED = "settled"
DECLINED = "declined"
CANCELED = "canceled"

OPEN = frozenset({CHARGING, CHARGED})
"""Statuses in which something may have been charged, and may have to be refunded."""
STATUSES = OPEN | {SETTLED, DECLINED, CANCELED}
"""The statuses of a charge that this version knows."""

NO_AMOUNT = "no-amount"


@dataclass(frozen=True, slots=True)
class Charge(Stored):
    """The intention to charge an order, then the decision about it; declined ones are stored too."""

    orderid: str
    status: str
    time: float
    """Time of the decision; of the intention while CHARGING (seconds since the epoch)."""
    items: tuple[CartItem, ...] = ()
    amount: int | None = None
    """Amount requested, in minor units of the currency."""
    refunded: int = 0
    reason: str | None = None
    """Why it was declined."""
    settled_time: float | None = None
    """Time of the settlement or refund (seconds since the epoch)."""
    reminders_sent: int = 0
    """Number of reminders since the decision; of further calls of the provider while CHARGING."""
    owner_digest: str | None = None


def decided(
    charge: Charge, status: str, now: float, *, reason: str | None = None, refunded: int = 0
) -> Charge:
    """Return the intended charge with the decision about it."""
    return replace(charge, status=status, time=now, reason=reason, refunded=refunded, reminders_sent=0)


def with_decision(charge: Charge, decision: Charge) -> Charge:
    """Return the intended charge with the decision that was made about an earlier version of it."""
    refunded, reason = decision.refunded, decision.reason
    return decided(charge, decision.status, decision.time, reason=reason, refunded=refunded)


def settled(charge: Charge, now: float) -> Charge:
    """Return the charge as settled; one that is not open is returned unchanged."""
    if charge.status != CHARGED:
        return charge
    return replace(charge, status=SETTLED, settled_time=now)


def canceled(charge: Charge | None, orderid: str, refunded: int, now: float) -> Charge:
    """Return the charge as refunded; without one, a tombstone that prevents it."""
    if charge is None:
        return Charge(orderid, CANCELED, now, refunded=refunded)
    if charge.status == CHARGING:
        # Whether anything was charged is not recorded; what was is refunded.
        return decided(charge, CANCELED, now, refunded=refunded)
    if charge.status != CHARGED:
        return charge
    return replace(charge, status=CANCELED, refunded=refunded, settled_time=now)


def owned(charge: Charge, digest: str | None) -> Charge:
    """Return the charge with its owner, if that was not known."""
    return charge if charge.owner_digest is not None else replace(charge, owner_digest=digest)


def with_reminder(charge: Charge) -> Charge:
    """Return the charge with one more reminder sent."""
    return replace(charge, reminders_sent=charge.reminders_sent + 1)
