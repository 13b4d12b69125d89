"""The delivery of an approved order."""

from dataclasses import dataclass

from contract.tickets import CartItem
from sagakit.codec import Stored

ARRANGED = "arranged"


@dataclass(frozen=True, slots=True)
class Shipment(Stored):
    """A delivery, arranged once."""

    orderid: str
    items: tuple[CartItem, ...]
    time: float
    """When it was arranged (seconds since the epoch)."""
    status: str = ARRANGED
    owner_digest: str | None = None
