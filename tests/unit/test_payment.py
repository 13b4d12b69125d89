"""Payments: an order is charged once or not at all, whatever crosses, repeats or dies in between."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.tickets import (
    APPROVED,
    CANCELED,
    PAID,
    PAYMENT_FAILED,
    REMINDER_ATTRIBUTE,
    RESERVE_FAILED,
    RESERVED,
    CartItem,
    TicketMessage,
)
from sagakit.consumer import Outcome
from sagakit.errors import NotFound, Unavailable
from sagakit.tables import DUE, Entity
from services.payment.charge import CANCELED as GIVEN_BACK
from services.payment.charge import CHARGED, DECLINED, NO_AMOUNT, SETTLED
from services.payment.provider import Canceled, Charged, Declined
from services.payment.storage import payment_key
from services.payment.usecases import UseCases
from tests.support.clock import impatient
from tests.support.tables import MemoryTables
from tests.support.usecases import OUTBOX, REMINDERS, over, said

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
        self.away = False
        self.before_deciding = lambda: asyncio.sleep(0)
        self.before_answering = lambda: asyncio.sleep(0)

    async def charge(self, orderid: str, amount: int):
        self.asked.append("charge")
        self._here()
        await self.before_deciding()
        answer = self._decided(orderid, amount)
        await self.before_answering()
        return answer

    def _decided(self, orderid: str, amount: int):
        if orderid in self.final:
            return Canceled()
        if amount > self.limit:
            return Declined("too much")
        self.charged.setdefault(orderid, amount)
        return Charged()

    async def cancel(self, orderid: str) -> int:
        self.asked.append("cancel")
        self._here()
        self.final.add(orderid)
        self.refunded[orderid] = self.charged.get(orderid, 0)
        return self.refunded[orderid]

    async def check(self) -> None:
        pass

    def _here(self) -> None:
        if self.away:
            raise Unavailable("the provider is away")

    @property
    def kept(self) -> int:
        return self.charged.get("o", 0) - self.refunded.get("o", 0)


class Bench:
    def __init__(self) -> None:
        self.tables = MemoryTables()
        self.provider = Provider()
        self.payment = over(self.tables, UseCases, REMINDERS, self.provider)

    async def status(self) -> str:
        return (await self.payment.get_payment("o")).status

    @property
    def row(self) -> Entity:
        return self.tables.rows[payment_key("o")].entity

    @property
    def said(self) -> list[str]:
        return [message.status for message in said(self.tables.rows)]


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_an_order_is_charged_once_however_often_its_event_comes(bench: Bench):
    outcomes = [await bench.payment.charge("e1", a_ticket(RESERVED)) for _ in range(3)]

    assert outcomes == [Outcome.APPLIED, Outcome.DUPLICATE, Outcome.DUPLICATE]
    assert (bench.provider.asked, bench.provider.kept) == (["charge"], 300)
    assert bench.said == [PAID]
    (message,) = said(bench.tables.rows)
    assert (message.amount, message.cart_items) == (300, BLUE)


async def test_asked_again_it_repeats_its_first_answer(bench: Bench):
    await bench.payment.charge("e1", a_ticket(RESERVED))

    outcome = await bench.payment.charge("e2", a_ticket(RESERVED, amount=999))

    assert (outcome, bench.provider.asked) == (Outcome.APPLIED, ["charge"])
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

    assert await bench.payment.cancel_if_charged("e1", refused) is Outcome.IGNORED
    assert bench.provider.asked == []
    await bench.payment.charge("e2", a_ticket(RESERVED))
    assert await bench.payment.cancel_if_charged("e3", refused) is Outcome.APPLIED
    assert bench.provider.kept == 0


async def test_a_tombstone_is_made_sure_of_before_its_event_is_done_with(bench: Bench):
    """A provider that is away just then makes the event come again, until the cancellation has got there."""
    await bench.payment.cancel("e1", a_ticket(CANCELED))
    bench.provider.away = True

    with pytest.raises(Unavailable):
        await bench.payment.charge("e2", a_ticket(RESERVED))
    bench.provider.away = False
    asked_before = len(bench.provider.asked)
    await bench.payment.charge("e2", a_ticket(RESERVED))

    assert bench.provider.asked[asked_before:] == ["cancel"]


async def test_a_cancellation_that_does_not_reach_the_provider_is_not_written_down(bench: Bench):
    """Else the event would be taken for applied, with the money still there."""
    await bench.payment.charge("e1", a_ticket(RESERVED))
    bench.provider.away = True

    with pytest.raises(Unavailable):
        await bench.payment.cancel("e2", a_ticket(CANCELED))

    assert await bench.status() == CHARGED
    bench.provider.away = False
    assert await bench.payment.cancel("e2", a_ticket(CANCELED)) is Outcome.APPLIED
    assert bench.provider.kept == 0


async def test_money_that_a_charge_nobody_knew_of_had_taken_is_given_back_and_written_down(bench: Bench):
    """The process that had it charged has died before its step."""
    await bench.provider.charge("o", 300)

    await bench.payment.cancel("e1", a_ticket(CANCELED))

    assert (await bench.payment.get_payment("o")).refunded == 300
    assert bench.provider.kept == 0


async def test_a_charge_the_provider_refuses_as_canceled_says_what_had_been_given_back(bench: Bench):
    """Whoever had it charged died, and whoever had it canceled did so before its step: nobody else knows."""
    await bench.provider.charge("o", 300)
    await bench.provider.cancel("o")

    await bench.payment.charge("e1", a_ticket(RESERVED))
    await bench.payment.cancel("e2", a_ticket(CANCELED))

    charge = await bench.payment.get_payment("o")
    assert (charge.status, charge.amount, charge.refunded) == (GIVEN_BACK, 300, 300)


async def test_a_refusal_answers_a_cancellation_with_nothing_and_stays_a_refusal(bench: Bench):
    await bench.payment.charge("e1", a_ticket(RESERVED, amount=5_000))

    outcome = await bench.payment.cancel("e2", a_ticket(PAYMENT_FAILED))

    assert (outcome, await bench.status()) == (Outcome.IGNORED, DECLINED)
    assert bench.provider.final == {"o"}, "for good, charge known or not"


@pytest.mark.parametrize("first", ["charge", "decline", "cancel"])
async def test_a_step_that_was_overtaken_by_another_process_repeats_that_ones_answer(bench: Bench, first):
    """Both asked the provider; only one may write down what it said."""
    amount = 5_000 if first == "decline" else 300

    async def meanwhile() -> None:
        bench.provider.before_answering = lambda: asyncio.sleep(0)
        if first == "cancel":
            await bench.payment.cancel("e1", a_ticket(CANCELED))
        else:
            await bench.payment.charge("e1", a_ticket(RESERVED, amount))

    bench.provider.before_answering = meanwhile
    other = over(bench.tables, UseCases, REMINDERS, bench.provider)

    await other.charge("e2", a_ticket(RESERVED, amount))

    assert bench.said == {"charge": [PAID, PAID], "decline": [PAYMENT_FAILED] * 2, "cancel": []}[first]
    assert bench.provider.kept == (300 if first == "charge" else 0)


async def test_an_open_charge_repeats_its_answer_marked_and_later_each_time(bench: Bench):
    await bench.payment.charge("e1", a_ticket(RESERVED))
    before = bench.row

    once = bench.payment.remind("o", before, before["time"], "r1")
    (waits,) = once.writes.values()
    twice = bench.payment.remind("o", waits, before["time"], "r2")

    assert once.result
    (event,) = once.events
    message = TicketMessage.from_event(event)
    assert (message.status, message.amount, message.cart_items) == (PAID, 300, BLUE)
    assert (event.eventid, event.attributes[REMINDER_ATTRIBUTE]) == ("r1", "true")
    assert [row["repeats"] for changes in (once, twice) for row in changes.writes.values()] == [1, 2]
    assert waits[DUE] > before[DUE]


async def test_an_answer_to_whoever_asks_is_not_marked_as_said_again(bench: Bench):
    """Only who waits marks what it says: whoever asked will say by itself what it makes of the answer."""
    await bench.payment.charge("e1", a_ticket(RESERVED))
    await bench.payment.charge("e2", a_ticket(RESERVED))

    rows = [row.entity for key, row in bench.tables.rows.items() if key.kind == OUTBOX]
    assert [set(row["attributes"]) for row in rows] == [{"time"}, {"time"}]


ENDS = {
    SETTLED: lambda bench: bench.payment.settle("e2", a_ticket(APPROVED)),
    GIVEN_BACK: lambda bench: bench.payment.cancel("e2", a_ticket(CANCELED)),
}


@pytest.mark.parametrize("end", ENDS)
async def test_only_a_charge_that_is_open_is_reminded_of(bench: Bench, end):
    await bench.payment.charge("e1", a_ticket(RESERVED))
    while_open = await is_in_the_index(bench)

    await ENDS[end](bench)

    assert (while_open, await is_in_the_index(bench)) == (True, False)
    assert await bench.status() == end


async def test_neither_a_refusal_nor_a_tombstone_is_reminded_of(bench: Bench):
    await bench.payment.charge("e1", a_ticket(RESERVED, amount=5_000))
    await bench.payment.cancel("e2", TicketMessage("another", CANCELED, ()))

    assert not await is_in_the_index(bench)


async def is_in_the_index(bench: Bench) -> bool:
    return bool(await bench.tables.due("Payment", "", "zz", 10))


class Rush:
    """Two processes that hear of one order, over and over; the provider takes its time, and loses answers."""

    def __init__(self, pauses: list[int], lost_answers: int) -> None:
        self.tables = MemoryTables()
        self.provider = Provider()
        self.processes = [
            over(self.tables, UseCases, REMINDERS, self.provider, runtime=impatient()) for _ in range(2)
        ]
        self._pauses = list(pauses)
        self._lost_answers = lost_answers
        self.provider.before_deciding = self.pause
        self.provider.before_answering = self.take_time_or_lose_the_answer

    async def pause(self) -> None:
        for _ in range(self._pauses.pop() if self._pauses else 0):
            await asyncio.sleep(0)

    async def take_time_or_lose_the_answer(self) -> None:
        await self.pause()
        if self._lost_answers:
            self._lost_answers -= 1
            raise Unavailable("the answer was lost")

    async def hear(self, do, eventid: str, ticket: TicketMessage) -> None:
        """As the broker has it: it comes again until it was dealt with."""
        await self.pause()
        while True:
            try:
                return await do(eventid, ticket)
            except Unavailable:
                await self.pause()

    async def of(self, events: list[tuple[str, int]], end: str) -> None:
        """All at once; `end` is heard in any case."""
        hearing = []
        for number, (status, process) in enumerate([*events, (end, 0)]):
            payment = self.processes[process]
            do = {RESERVED: payment.charge, APPROVED: payment.settle}.get(status, payment.cancel)
            hearing.append(self.hear(do, f"{status} {number // 2}", a_ticket(status)))
        await asyncio.gather(*hearing)


lulls = st.lists(st.integers(0, 12), max_size=24)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([RESERVED, CANCELED]), st.integers(0, 1)), max_size=6),
    lulls,
    st.integers(0, 3),
)
def test_whatever_crosses_a_failed_order_is_left_with_nothing_charged(events, pauses, lost_answers):
    async def rush() -> tuple[Rush, str, list[str]]:
        rush = Rush(pauses, lost_answers)
        await rush.of(events, CANCELED)
        before = len(said(rush.tables.rows))
        await rush.processes[1].charge("late", a_ticket(RESERVED))
        status = (await rush.processes[0].get_payment("o")).status
        return rush, status, [message.status for message in said(rush.tables.rows)][before:]

    rushed, status, said_late = asyncio.run(rush())

    assert (rushed.provider.kept, status, said_late) == (0, GIVEN_BACK, [])


@settings(deadline=None)
@given(st.lists(st.integers(0, 1), min_size=1, max_size=6), lulls, st.integers(0, 3))
def test_whatever_crosses_an_order_is_charged_once(processes, pauses, lost_answers):
    async def rush() -> Rush:
        rush = Rush(pauses, lost_answers)
        await rush.of([(RESERVED, process) for process in processes], RESERVED)
        await rush.of([(RESERVED, process) for process in processes], APPROVED)
        return rush

    rushed = asyncio.run(rush())

    assert rushed.provider.kept == 300
    assert {message.status for message in said(rushed.tables.rows)} == {PAID}
