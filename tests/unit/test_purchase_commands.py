"""Commands: what was asked for under a name is done once, and answered alike however often it is asked."""

import asyncio

import pytest

from contract.tickets import PAID, CartItem
from sagakit.auth.caller import Caller, acting_as
from sagakit.errors import FailedPrecondition, InvalidArgument, NotFound
from services.purchase.commands import REUSED
from services.purchase.settings import Settings
from services.purchase.ticket import Report
from services.purchase.usecases import UseCases
from tests.support.tables import LostResponseTables, MemoryTables
from tests.support.usecases import REMINDERS, over, said

BLUE = CartItem("blue", 3)


def purchase_over(tables) -> UseCases:
    return over(tables, UseCases, REMINDERS, Settings(1800, 3600))


class Bench:
    """Purchase with the open cart "c", which has something blue in it, and processes to race."""

    def __init__(self) -> None:
        self.tables = MemoryTables()
        self.purchase = purchase_over(self.tables)

    async def fill(self) -> "Bench":
        await self.purchase.create_cart("c")
        await self.purchase.set_item("c", "blue", 3)
        return self

    async def closed(self) -> "Bench":
        await self.purchase.close_cart("c")
        return self

    async def race(self, *calls):
        """What the calls answer, each made by a process of its own at the same time."""
        processes = [purchase_over(self.tables) for _ in calls]
        return await asyncio.gather(
            *(call(process) for call, process in zip(calls, processes, strict=True)), return_exceptions=True
        )


@pytest.fixture
async def bench() -> Bench:
    return await Bench().fill()


CALLS = {
    "create": lambda purchase, key: purchase.create_cart("c", key),
    "add": lambda purchase, key: purchase.add_item("c", "red", 2, key),
    "set": lambda purchase, key: purchase.set_item("c", "red", 2, key),
    "remove": lambda purchase, key: purchase.remove_item("c", "blue", key),
    "close": lambda purchase, key: purchase.close_cart("c", key),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@each_call
async def test_a_repeat_is_answered_as_the_first_was_and_changes_nothing(bench: Bench, call):
    first = await call(bench.purchase, "k")
    rows = bench.tables.rows

    assert await call(bench.purchase, "k") == first
    assert await call(purchase_over(bench.tables), "k") == first
    assert bench.tables.rows == rows


@each_call
async def test_a_repeat_undoes_nothing_that_was_done_since(bench: Bench, call):
    first = await call(bench.purchase, "k")
    if (await bench.purchase.get_cart("c")).status == "open":
        await bench.purchase.set_item("c", "blue", 7)
        await bench.purchase.set_item("c", "red", 9)
    since = await bench.purchase.get_cart("c")

    assert await call(bench.purchase, "k") == first
    assert await bench.purchase.get_cart("c") == since


async def test_what_changed_nothing_is_remembered_too(bench: Bench):
    same = await bench.purchase.set_item("c", "blue", 3, "k")
    await bench.purchase.set_item("c", "blue", 7)

    assert await bench.purchase.set_item("c", "blue", 3, "k") == same
    assert (await bench.purchase.get_cart("c")).items == (CartItem("blue", 7),)


@each_call
@pytest.mark.parametrize("applied", [True, False])
async def test_a_call_whose_answer_was_lost_is_made_once(bench: Bench, call, applied):
    purchase = purchase_over(LostResponseTables(bench.tables, applied=applied))

    answer = await call(purchase, "k")

    assert answer == await call(bench.purchase, "k")


async def test_a_cart_says_whether_this_call_created_it():
    purchase = purchase_over(MemoryTables())

    created = await purchase.create_cart("c", "k")

    assert created.created
    assert (await purchase.create_cart("c", "k")) == created
    assert not (await purchase.create_cart("c", "another")).created
    assert not (await purchase.create_cart("c")).created


async def test_a_repeated_checkout_shows_the_ticket_as_it_was_then(bench: Bench):
    await bench.closed()
    opened = await bench.purchase.checkout("c", "k")
    await bench.purchase.apply_report(opened.orderid, Report("e", PAID, 1.0))

    assert await bench.purchase.checkout("c", "k") == opened
    now = await bench.purchase.checkout("c", "another")
    assert (now.orderid, now.status) == (opened.orderid, "approved")
    assert [message.status for message in said(bench.tables.rows)] == ["pre-approved", "approved"]


async def test_a_repeated_cancellation_is_said_once(bench: Bench):
    await bench.closed()
    orderid = (await bench.purchase.checkout("c")).orderid
    canceled = await bench.purchase.cancel_order(orderid, "k")

    assert await bench.purchase.cancel_order(orderid, "k") == canceled
    assert [message.status for message in said(bench.tables.rows)] == ["pre-approved", "canceled"]


OTHERS = [
    lambda purchase: purchase.set_item("c", "red", 3, "k"),
    lambda purchase: purchase.set_item("c", "gold", 2, "k"),
    lambda purchase: purchase.add_item("c", "red", 2, "k"),
    lambda purchase: purchase.remove_item("c", "red", "k"),
    lambda purchase: purchase.close_cart("c", "k"),
    lambda purchase: purchase.checkout("c", "k"),
    lambda purchase: purchase.create_cart("c", "k"),
]


@pytest.mark.parametrize("other", OTHERS)
async def test_a_name_belongs_to_one_request_about_a_cart(bench: Bench, other):
    first = await bench.purchase.set_item("c", "red", 2, "k")

    with pytest.raises(InvalidArgument) as refused:
        await other(bench.purchase)

    assert (refused.value.field, refused.value.why) == ("commandid", REUSED)
    assert await bench.purchase.get_cart("c") == first


async def test_a_name_means_nothing_to_another_cart(bench: Bench):
    await bench.purchase.create_cart("d")
    await bench.purchase.set_item("c", "red", 2, "k")

    other = await bench.purchase.set_item("d", "gold", 1, "k")

    assert (other.cartid, other.items) == ("d", (CartItem("gold", 1),))


async def test_a_name_outlives_a_cart_and_tells_nobody_else_of_it(bench: Bench):
    with acting_as(Caller("alice", operator=False)):
        await bench.purchase.create_cart("hers", "k")
    bench.tables.rows = {key: row for key, row in bench.tables.rows.items() if key.name != "hers"}

    with acting_as(Caller("bob", operator=False)):
        with pytest.raises(InvalidArgument) as refused:
            await bench.purchase.create_cart("hers", "k")
        his = await bench.purchase.create_cart("hers", "another")

    assert refused.value.why == REUSED
    assert his.created


async def test_a_call_that_was_refused_may_be_made_again_under_its_name(bench: Bench):
    with pytest.raises(FailedPrecondition, match="close it first"):
        await bench.purchase.checkout("c", "k")
    with pytest.raises(NotFound):
        await bench.purchase.set_item("later", "blue", 3, "k")

    await bench.closed()
    await bench.purchase.create_cart("later")

    assert (await bench.purchase.checkout("c", "k")).items == (BLUE,)
    assert (await bench.purchase.set_item("later", "blue", 3, "k")).items == (BLUE,)


@each_call
async def test_of_two_that_race_under_one_name_both_get_the_winners_answer(bench: Bench, call):
    one, two = await bench.race(*[lambda purchase: call(purchase, "k")] * 2)

    assert one == two == await call(bench.purchase, "k")


async def test_of_two_checkouts_that_race_one_opens_an_order_and_both_answer_with_it(bench: Bench):
    await bench.closed()

    one, two = await bench.race(*[lambda purchase: purchase.checkout("c", "k")] * 2)

    assert one == two
    assert [message.orderid for message in said(bench.tables.rows)] == [one.orderid]


async def test_of_two_different_requests_that_race_under_one_name_one_is_refused(bench: Bench):
    answers = await bench.race(
        lambda purchase: purchase.set_item("c", "red", 2, "k"),
        lambda purchase: purchase.set_item("c", "red", 5, "k"),
    )

    (refused,) = (answer for answer in answers if isinstance(answer, InvalidArgument))
    (done,) = (answer for answer in answers if answer is not refused)
    assert refused.why == REUSED
    assert await bench.purchase.get_cart("c") == done
