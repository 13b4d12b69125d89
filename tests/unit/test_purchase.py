"""Purchase's steps: an order is called off while it can be, and a ticket that waits is not forgotten."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from contract.tickets import (
    APPROVED,
    CANCELED,
    DELIVERY_ARRANGED,
    PAID,
    PAYMENT_FAILED,
    PRE_APPROVED,
    REMINDER_ATTRIBUTE,
    RESERVE_FAILED,
    RESERVED,
    CartItem,
    TicketMessage,
)
from sagakit.consumer import Outcome
from sagakit.errors import FailedPrecondition, InvalidArgument, NotFound, OutcomeUnknown, Poison
from sagakit.events import Event, timestamp
from sagakit.reminders import REMINDER_BURST, Reminders
from sagakit.sweeper import Sweeper
from sagakit.tables import DUE, Key, Mutation, Tables
from services.purchase.settings import Settings
from services.purchase.storage import TICKET
from services.purchase.ticket import CLIENT, TIMEOUT, Report, Ticket
from services.purchase.usecases import UseCases
from tests.support.clock import START, Clock
from tests.support.tables import LostResponseTables, MemoryTables
from tests.support.usecases import OUTBOX, REMINDERS, over, said

DEADLINE = 100.0


class Bench:
    """Purchase with one order, just checked out, and with its watch."""

    def __init__(self, deadline: float = DEADLINE) -> None:
        self.clock = Clock()
        self.tables = MemoryTables()
        self.runtime = self.clock.runtime()
        self.purchase = self.a_process(deadline)
        self.orderid = ""

    def a_process(self, deadline: float = DEADLINE, tables: Tables | None = None) -> UseCases:
        runtime = replace(self.runtime, sleep=lambda _: self.clock.advance(0))
        settings = Settings.from_environ({"ORDER_DEADLINE": str(deadline)})
        return over(tables or self.tables, UseCases, REMINDERS, settings, runtime=runtime)

    async def check_out(self) -> "Bench":
        await self.purchase.create_cart("c")
        await self.purchase.add_item("c", "blue", 3, "x")
        await self.purchase.close_cart("c")
        self.orderid = (await self.purchase.checkout("c")).orderid
        return self

    async def hears(self, status: str, *, again: bool = False, by: UseCases | None = None) -> Outcome:
        report = Report(self.runtime.new_id(), status, self.clock.now(), is_reminder=again)
        return await (by or self.purchase).apply_report(self.orderid, report)

    async def passes(self, seconds: float, by: UseCases | None = None) -> list[tuple[str, bool]]:
        """What the watch says when it comes by then, each with whether it is marked as said again."""
        await self.clock.advance(seconds)
        before = set(self.tables.rows)
        purchase = by or self.purchase
        watch = Reminders(purchase._store, purchase.remind, self.runtime, lambda: False)
        await Sweeper(self.tables, TICKET, watch.claim, self.runtime, capacity=watch.capacity).sweep()
        rows = [
            row.entity for key, row in self.tables.rows.items() if key.kind == OUTBOX and key not in before
        ]
        assert watch.capacity() == REMINDER_BURST - len(rows), "only published reminders use up the allowance"
        return [(status_of(row["body"]), REMINDER_ATTRIBUTE in row["attributes"]) for row in rows]

    async def ticket(self) -> Ticket:
        return await self.purchase.get_order_ticket(self.orderid)

    @property
    def waits(self) -> bool:
        """Whether the watch will ever look at the ticket again."""
        return DUE in self.tables.rows[Key(TICKET, self.orderid)].entity

    @property
    def said(self) -> list[str]:
        return [message.status for message in said(self.tables.rows)]


def status_of(body: bytes) -> str:
    return TicketMessage.from_event(Event("e", "t", body)).status


@pytest.fixture
async def bench() -> Bench:
    return await Bench().check_out()


class Overtaken(MemoryTables):
    """Tables of a process which somebody overtakes: before its first commit, `meanwhile` happens."""

    def __init__(self, tables: Tables, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self._tables = tables
        self._meanwhile = [meanwhile]
        self.lookup = tables.lookup

    async def commit(self, mutations: Sequence[Mutation]) -> None:
        while self._meanwhile:
            await self._meanwhile.pop()()
        await self._tables.commit(mutations)


@pytest.mark.parametrize("heard", [[], [RESERVED]])
async def test_an_order_is_canceled_once_and_returned_as_it_is_from_then_on(bench: Bench, heard):
    for status in heard:
        await bench.hears(status)

    canceled = await bench.purchase.cancel_order(bench.orderid)
    await bench.clock.advance(5)
    again = await bench.purchase.cancel_order(bench.orderid)

    assert (canceled.status, canceled.reason, canceled.history[-1].cause) == (CANCELED, CLIENT, CLIENT)
    assert again == canceled == await bench.ticket()
    assert bench.said == [PRE_APPROVED, CANCELED]


@pytest.mark.parametrize(
    ("heard", "status"),
    [(PAID, APPROVED), (RESERVE_FAILED, RESERVE_FAILED), (PAYMENT_FAILED, PAYMENT_FAILED)],
)
async def test_an_order_that_has_ended_otherwise_stays_as_it_is(bench: Bench, heard, status):
    await bench.hears(heard)
    before = bench.tables.rows

    with pytest.raises(FailedPrecondition, match=f"the order is {status}"):
        await bench.purchase.cancel_order(bench.orderid)

    assert bench.tables.rows == before


async def test_an_order_that_is_approved_while_it_is_canceled_stays_approved(bench: Bench):
    slow = bench.a_process(tables=Overtaken(bench.tables, lambda: bench.hears(PAID)))

    with pytest.raises(FailedPrecondition, match="the order is approved"):
        await slow.cancel_order(bench.orderid)

    assert (await bench.ticket()).status == APPROVED
    assert bench.said == [PRE_APPROVED, APPROVED]


async def test_an_order_that_is_canceled_while_it_is_paid_says_so_to_whoever_took_the_money(bench: Bench):
    cancel = Overtaken(bench.tables, lambda: bench.purchase.cancel_order(bench.orderid))

    outcome = await bench.hears(PAID, by=bench.a_process(tables=cancel))

    assert outcome is Outcome.APPLIED
    assert (await bench.ticket()).status == CANCELED
    assert bench.said == [PRE_APPROVED, CANCELED, CANCELED]


@pytest.mark.parametrize("applied", [True, False])
async def test_a_cancellation_without_an_answer_is_said_once(bench: Bench, applied):
    purchase = bench.a_process(tables=LostResponseTables(bench.tables, applied=applied))

    canceled = await purchase.cancel_order(bench.orderid)

    assert canceled == await bench.ticket()
    assert bench.said == [PRE_APPROVED, CANCELED]


async def test_a_ticket_that_nobody_answers_is_said_again_and_canceled_at_its_deadline(bench: Bench):
    said_by = {second: await bench.passes(1) for second in range(1, 300)}

    assert {second: words for second, words in said_by.items() if words} == {
        16: [(PRE_APPROVED, True)],
        47: [(PRE_APPROVED, True)],
        101: [(CANCELED, False)],
    }
    ticket = await bench.ticket()
    assert (ticket.status, ticket.reason, ticket.history[-1].cause) == (CANCELED, TIMEOUT, TIMEOUT)


async def test_a_deadline_before_the_first_repetition_is_kept():
    bench = await Bench(deadline=10).check_out()

    assert await bench.passes(9) == []
    assert await bench.passes(2) == [(CANCELED, False)]


async def test_a_reserved_ticket_is_silent_until_its_deadline_which_counts_from_checkout(bench: Bench):
    await bench.clock.advance(60)
    await bench.hears(RESERVED)

    assert await bench.passes(39) == []
    assert await bench.passes(2) == [(CANCELED, False)]
    assert (await bench.ticket()).reason == TIMEOUT


async def test_an_approved_ticket_is_said_again_until_its_delivery_is_arranged_past_any_deadline(
    bench: Bench,
):
    await bench.hears(PAID)

    said_again = [await bench.passes(2 * DEADLINE) for _ in range(2)]
    await bench.hears(DELIVERY_ARRANGED)
    afterwards = await bench.passes(10 * DEADLINE)

    assert said_again == [[(APPROVED, True)]] * 2
    assert afterwards == []
    assert not bench.waits
    assert (await bench.ticket()).status == APPROVED


@pytest.mark.parametrize("heard", [RESERVE_FAILED, PAYMENT_FAILED])
async def test_a_ticket_that_has_failed_is_never_looked_at_again(bench: Bench, heard):
    await bench.hears(heard)

    assert not bench.waits
    assert await bench.passes(10 * DEADLINE) == []


async def test_a_deadline_that_was_raised_meanwhile_holds_for_what_already_waits(bench: Bench):
    await bench.hears(RESERVED)
    patient = bench.a_process(deadline=3 * DEADLINE)

    assert await bench.passes(DEADLINE + 1, by=patient) == []
    assert await bench.passes(DEADLINE, by=patient) == []
    assert (await bench.ticket()).status == RESERVED
    assert await bench.passes(DEADLINE, by=patient) == [(CANCELED, False)]


async def test_only_who_asks_again_hears_again_how_an_order_was_approved(bench: Bench):
    await bench.hears(PAID)

    outcomes = [await bench.hears(RESERVED), await bench.hears(RESERVED, again=True)]

    assert outcomes == [Outcome.IGNORED, Outcome.APPLIED]
    assert bench.said == [PRE_APPROVED, APPROVED, APPROVED]


async def test_an_order_nobody_opened_is_not_found_and_what_is_reported_of_it_never_works(bench: Bench):
    with pytest.raises(NotFound):
        await bench.purchase.cancel_order("none")
    bench.orderid = "none"
    with pytest.raises(Poison, match="unknown-order"):
        await bench.hears(PAID)


@pytest.mark.parametrize("applied", [True, False])
async def test_an_item_added_under_a_commandid_is_added_once_though_the_answer_was_lost(
    bench: Bench, applied
):
    await bench.purchase.create_cart("another")
    purchase = bench.a_process(tables=LostResponseTables(bench.tables, applied=applied))

    cart = await purchase.add_item("another", "blue", 3, "x")

    assert cart.items == (CartItem("blue", 3),)
    assert await bench.purchase.get_cart("another") == cart


@pytest.mark.parametrize("applied", [True, False])
async def test_an_item_added_without_a_commandid_is_not_tried_again_on_anybodys_behalf(bench: Bench, applied):
    await bench.purchase.create_cart("another")
    purchase = bench.a_process(tables=LostResponseTables(bench.tables, applied=applied))

    with pytest.raises(OutcomeUnknown):
        await purchase.add_item("another", "blue", 3, "")

    items = (await bench.purchase.get_cart("another")).items
    assert items == ((CartItem("blue", 3),) if applied else ())


@pytest.mark.parametrize(("itemid", "count"), [("red", 3), ("blue", 4)])
async def test_a_commandid_belongs_to_one_request(bench: Bench, itemid, count):
    await bench.purchase.create_cart("another")
    await bench.purchase.add_item("another", "blue", 3, "x")

    with pytest.raises(InvalidArgument) as refused:
        await bench.purchase.add_item("another", itemid, count, "x")

    assert refused.value.field == "commandid"
    assert (await bench.purchase.get_cart("another")).items == (CartItem("blue", 3),)


async def test_whatever_is_said_of_an_order_says_when(bench: Bench):
    await bench.hears(PAID)
    await bench.passes(20)

    rows = [row.entity["attributes"] for key, row in bench.tables.rows.items() if key.kind == OUTBOX]
    assert [row["time"] for row in rows] == [timestamp(START), timestamp(START), timestamp(START + 20)]
