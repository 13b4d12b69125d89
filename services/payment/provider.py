"""The seam to whoever moves the money."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Charged:
    """The money is here."""


@dataclass(frozen=True, slots=True)
class Declined:
    """It is not, and will not be; `reason` is for the customer."""

    reason: str


@dataclass(frozen=True, slots=True)
class Canceled:
    """The order was canceled before: nothing was charged, and nothing will be."""


Answer = Charged | Declined | Canceled


class PaymentProvider(Protocol):
    """Moves money, each order by its orderid at most once. Raises Unavailable where no answer came:
    then it may or may not have been done, and asking again finds out.
    """

    async def charge(self, orderid: str, amount: int) -> Answer:
        """Charge `amount` (minor units). Asked again with that orderid, answer as at first."""

    async def cancel(self, orderid: str) -> int:
        """Give back what was charged for the order, and refuse whatever is to be charged for it later.

        Idempotent and final. Returns what was given back, by this call or an earlier one.
        """

    async def check(self) -> None:
        """Return where it can be reached."""
