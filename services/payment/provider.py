"""Interface to payment providers."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Charged:
    """The amount was charged."""


@dataclass(frozen=True, slots=True)
class Declined:
    """The charge was declined, for good; `reason` is for the customer."""

    reason: str


@dataclass(frozen=True, slots=True)
class Canceled:
    """The order was canceled before: nothing was charged, and nothing will be."""


ChargeAnswer = Charged | Declined | Canceled


class PaymentProvider(Protocol):
    """Charges each order, identified by its orderid, at most once. Raises Unavailable if no response arrived:
    the outcome is unknown then, and a retry returns it.
    """

    async def charge(self, orderid: str, amount: int) -> ChargeAnswer:
        """Charge `amount` (minor units). A retry with the same orderid returns the first result."""

    async def cancel(self, orderid: str) -> int:
        """Refund the order's charge, and reject any later charge of it. Idempotent and final.

        Returns the amount refunded, by this call or an earlier one.
        """

    async def check(self) -> None:
        """Return if the provider can be reached."""
