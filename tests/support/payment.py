"""Payment over tables in memory and a fake provider."""

import asyncio
from contextlib import suppress

from contract.tickets import RESERVED, CartItem, TicketMessage
from sagakit.errors import Unavailable
from sagakit.tables import Entity
from services.payment.provider import Canceled, Charged, Declined
from services.payment.storage import payment_key
from services.payment.usecases import UseCases
from tests.support.usecases import REMINDERS, Harness

BLUE = (CartItem("blue", 3),)
TOO_MUCH = 5_000
"""More than the provider's limit, in minor units."""


def a_ticket(status: str, amount: int | None = 300) -> TicketMessage:
    return TicketMessage("o", status, BLUE, amount)


class FakeProvider:
    """A PaymentProvider over dicts; records its calls, and can be delayed or made unavailable."""

    def __init__(self, limit: int = 1_000) -> None:
        self.calls: list[str] = []
        self.charged: dict[str, int] = {}
        self.refunded: dict[str, int] = {}
        self.canceled: set[str] = set()
        self.limit = limit
        self.unavailable = False
        self.before_charging = lambda: asyncio.sleep(0)
        self.before_responding = lambda: asyncio.sleep(0)

    async def charge(self, orderid: str, amount: int):
        self._call("charge")
        await self.before_charging()
        answer = self._decide(orderid, amount)
        await self.before_responding()
        return answer

    def _decide(self, orderid: str, amount: int):
        if orderid in self.canceled:
            return Canceled()
        if amount > self.limit:
            return Declined("too much")
        self.charged.setdefault(orderid, amount)
        return Charged()

    async def cancel(self, orderid: str) -> int:
        self._call("cancel")
        self.canceled.add(orderid)
        self.refunded[orderid] = self.charged.get(orderid, 0)
        return self.refunded[orderid]

    async def check(self) -> None:
        pass

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.unavailable:
            raise Unavailable("the provider is unavailable")

    @property
    def balance(self) -> int:
        """The amount charged for the order and not refunded."""
        return self.charged.get("o", 0) - self.refunded.get("o", 0)


class PaymentHarness(Harness):
    def __init__(self) -> None:
        super().__init__()
        self.provider = FakeProvider()
        self.payment = self.process()

    def process(self) -> UseCases:
        return self.use_cases(UseCases, REMINDERS, self.provider)

    def meanwhile(self, do) -> None:
        """Run `do` once, after the provider has charged and before it responds."""

        async def run() -> None:
            self.provider.before_responding = lambda: asyncio.sleep(0)
            await do()

        self.provider.before_responding = run

    async def crash_while_charging(self, amount: int = 300) -> None:
        """Leave what a process leaves that dies after the provider has decided, and before its commit."""

        async def crash() -> None:
            raise Unavailable("crashed")

        self.meanwhile(crash)
        with suppress(Unavailable):
            await self.process().charge("e1", a_ticket(RESERVED, amount))

    async def status(self) -> str:
        return (await self.payment.get_payment("o")).status

    @property
    def row(self) -> Entity:
        return self.tables.rows[payment_key("o")].entity

    @property
    def replies(self) -> list[tuple[str, int | None, str | None]]:
        return [(ticket.status, ticket.amount, ticket.reason) for ticket in self.published]
