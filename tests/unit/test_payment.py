"""Payments: an order is charged once or not at all, whatever crosses, repeats or dies in between."""

import asyncio

import pytest

from contract.tickets import (
    APPROVED,
    CANCELED,
    PAID,
    PAYMENT_FAILED,
    RESERVE_FAILED,
    RESERVED,
    CartItem,
    TicketMessage,
)
from sagakit.consumer import Outcome
from sagakit.errors import NotFound, Unavailable
from services.payment.charge import CANCELED as GIVEN_BACK
from services.payment.charge import CHARGED, DECLINED, NO_AMOUNT, SETTLED
from services.payment.provider import Canceled, Charged, Declined
from services.payment.usecases import UseCases
from tests.support.tables import MemoryTables
from tests.support.usecases import PATIENCE, over, said

BLUE = (CartItem("blue", 3),)


def a_ticket(status: str, amount: int | None = 300) -> TicketMessage:
    return TicketMessage("o", status, BLUE, amount)


class Provider:
    """Keeps its promises in a dict, and a record of what it was asked."""

    def __init__(self, limit: int = 1_000) -> None:
        self.asked: list[str] = []
        self.charged: dict[str, int] = {}
        self.refunded: dict[str, int] = {}
        self.final: set[str] = set()
        self.limit = limit
        self.before_answering = lambda: asyncio.sleep(0)

    async def charge(self, orderid: str, amount: int):
        self.asked.append("charge")
        if orderid in self.final:
            return Canceled()
        if amount > self.limit:
            return Declined("too much")
        self.charged.setdefault(orderid, amount)
        await self.before_answering()
        return Charged()

    async def cancel(self, orderid: str) -> int:
        self.asked.append("cancel")
        self.final.add(orderid)
        self.refunded[orderid] = self.charged.get(orderid, 0)
        return self.refunded[orderid]

    async def answers(self) -> None:
        pass

    @property
    def kept(self) -> int:
        return self.charged.get("o", 0) - self.refunded.get("o", 0)


class Bench:
    def __init__(self) -> None:
        self.tables = MemoryTables()
        self.provider = Provider()
        self.payment = over(self.tables, UseCases, PATIENCE, self.provider)

    async def status(self) -> str:
        return (await self.payment.get_payment("o")).status

    @property
    def said(self) -> list[str]:
        return [message.status for message in said(self.tables.rows)]


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_an_order_is_charged_once_however_often_its_event_comes(bench: Bench):
    outcomes = [await bench.payment.charge("e1", a_ticket(RESERVED)) for _ in range(3)]

    assert outcomes == [Outcome.APPLIED, Outcome.REPEATED, Outcome.REPEATED]
    assert (bench.provider.asked, bench.provider.kept) == (["charge"], 300)
    assert bench.said == [PAID]
    (message,) = said(bench.tables.rows)
    assert (message.amount, message.cart_items) == (300, BLUE)


async def test_asked_again_it_repeats_its_first_answer(bench: Bench):
    await bench.payment.charge("e1", a_ticket(RESERVED))

    await bench.payment.charge("e2", a_ticket(RESERVED, amount=999))

    assert bench.provider.asked == ["charge"]
    assert [(message.status, message.amount) for message in said(bench.tables.rows)] == [(PAID, 300)] * 2


async def test_a_refusal_is_remembered_whatever_the_provider_would_say_now(bench: Bench):
    await bench.payment.charge("e1", a_ticket(RESERVED, amount=5_000))
    bench.provider.limit = 10_000

    await bench.payment.charge("e2", a_ticket(RESERVED, amount=5_000))

    assert [(message.status, message.reason) for message in said(bench.tables.rows)] == [
        (PAYMENT_FAILED, "too much")
    ] * 2
    assert (await bench.status(), bench.provider.kept) == (DECLINED, 0)


async def test_an_order_that_names_no_amount_is_declined_without_asking_anybody(bench: Bench):
    await bench.payment.charge("e1", a_ticket(RESERVED, amount=None))

    (message,) = said(bench.tables.rows)
    assert (message.status, message.reason) == (PAYMENT_FAILED, NO_AMOUNT)
    assert bench.provider.asked == []


async def test_an_order_that_costs_nothing_is_paid_without_asking_anybody(bench: Bench):
    await bench.payment.charge("e1", a_ticket(RESERVED, amount=0))

    assert (bench.said, bench.provider.asked) == ([PAID], [])


async def test_a_process_that_dies_after_the_charge_asks_again_and_charges_once(bench: Bench):
    async def die() -> None:
        raise Unavailable("died")

    bench.provider.before_answering = die
    with pytest.raises(Unavailable):
        await bench.payment.charge("e1", a_ticket(RESERVED))
    with pytest.raises(NotFound):
        await bench.status()
    bench.provider.before_answering = lambda: asyncio.sleep(0)

    await bench.payment.charge("e1", a_ticket(RESERVED))

    assert (bench.said, bench.provider.kept, bench.provider.asked) == ([PAID], 300, ["charge", "charge"])


async def test_a_failed_order_gets_its_money_back_once(bench: Bench):
    await bench.payment.charge("e1", a_ticket(RESERVED))

    outcomes = [await bench.payment.cancel(f"e{n}", a_ticket(CANCELED)) for n in (2, 3)]

    charge = await bench.payment.get_payment("o")
    assert outcomes == [Outcome.APPLIED, Outcome.IGNORED]
    assert (charge.status, charge.amount, charge.refunded) == (GIVEN_BACK, 300, 300)
    assert bench.provider.kept == 0
    assert charge.settled_time is not None


async def test_a_cancellation_that_comes_first_leaves_a_tombstone(bench: Bench):
    """Trap: a late `reserved` charges an order that was called off."""
    await bench.payment.cancel("e1", a_ticket(CANCELED))

    outcome = await bench.payment.charge("e2", a_ticket(RESERVED))

    assert (outcome, bench.said, bench.provider.kept) == (Outcome.IGNORED, [], 0)
    assert bench.provider.asked == ["cancel", "cancel"], "it is made sure before the event is acknowledged"


async def test_a_cancellation_during_a_charge_leaves_nothing_charged(bench: Bench):
    """The tombstone is written while the provider is busy charging."""

    async def cancel() -> None:
        bench.provider.before_answering = lambda: asyncio.sleep(0)
        await bench.payment.cancel("e1", a_ticket(CANCELED))

    bench.provider.before_answering = cancel

    await bench.payment.charge("e2", a_ticket(RESERVED))

    assert (await bench.status(), bench.said, bench.provider.kept) == (GIVEN_BACK, [], 0)


async def test_a_charge_that_the_provider_refuses_as_canceled_says_nothing(bench: Bench):
    """Our cancellation reached the provider, and died before its step."""
    await bench.provider.cancel("o")

    await bench.payment.charge("e1", a_ticket(RESERVED))

    assert (await bench.status(), bench.said, bench.provider.kept) == (GIVEN_BACK, [], 0)


async def test_the_charge_of_an_approved_order_is_settled_and_answers_nothing(bench: Bench):
    await bench.payment.charge("e1", a_ticket(RESERVED))

    outcomes = [await bench.payment.settle(f"e{n}", a_ticket(APPROVED)) for n in (2, 3)]
    late = await bench.payment.charge("e4", a_ticket(RESERVED))

    assert (outcomes, late) == ([Outcome.APPLIED, Outcome.IGNORED], Outcome.IGNORED)
    assert (await bench.status(), bench.said, bench.provider.kept) == (SETTLED, [PAID], 300)


async def test_an_approved_order_that_was_never_charged_is_no_affair_of_payment(bench: Bench):
    assert await bench.payment.settle("e1", a_ticket(APPROVED)) is Outcome.IGNORED
    assert bench.tables.rows == {}


async def test_a_refusal_of_stock_costs_the_provider_no_call(bench: Bench):
    refused = a_ticket(RESERVE_FAILED)

    assert await bench.payment.cancel_known("e1", refused) is Outcome.IGNORED
    assert bench.provider.asked == []
    await bench.payment.charge("e2", a_ticket(RESERVED))
    assert await bench.payment.cancel_known("e3", refused) is Outcome.APPLIED
    assert bench.provider.kept == 0


async def test_only_a_charge_that_is_open_is_reminded_of(bench: Bench):
    waits = {}
    await bench.payment.charge("e1", a_ticket(RESERVED))
    waits[CHARGED] = await is_in_the_index(bench)
    await bench.payment.settle("e2", a_ticket(APPROVED))
    waits[SETTLED] = await is_in_the_index(bench)

    assert waits == {CHARGED: True, SETTLED: False}


async def is_in_the_index(bench: Bench) -> bool:
    return bool(await bench.tables.due("Payment", "", "zz", 10))
