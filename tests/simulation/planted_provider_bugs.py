"""Planted bugs of the payment provider. They reach into its private attributes, which have no seam there."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from services.payment import simulated
from tests.simulation.bug import Planted


def refunds_are_not_idempotent() -> Planted:
    def refund_again(entry: Any) -> Any:
        entry = entry or simulated.Entry()
        return replace(entry, refunded=entry.refunded + entry.charged, canceled=True)

    return provider_cancels_with(refund_again)


def a_cancellation_is_not_final() -> Planted:
    """The provider forgets the cancellation of what it has not charged yet."""
    return provider_cancels_with(lambda it: it and replace(it, refunded=it.charged, canceled=True))


def provider_cancels_with(change: Callable[[Any], Any]) -> Planted:
    async def cancel(self: Any, orderid: str) -> int:
        await self.check()
        entry, _ = await self._update(orderid, change)
        return entry.refunded if entry else 0

    return patch.object(simulated.SimulatedProvider, "cancel", cancel)


def every_attempt_charges() -> Planted:
    """The provider is called with a new idempotency key every time."""

    async def charge(self: Any, orderid: str, amount: int) -> Any:
        def more(entry: Any) -> Any:
            return replace(entry or simulated.Entry(), charged=(entry.charged if entry else 0) + amount)

        await self._update(orderid, more)
        return simulated.Charged()

    return patch.object(simulated.SimulatedProvider, "charge", charge)


PROVIDER_BUGS = (refunds_are_not_idempotent, a_cancellation_is_not_final, every_attempt_charges)
