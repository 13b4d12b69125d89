"""Idempotent commands: a repeat with the same commandid returns the first result and changes nothing."""

import asyncio

import pytest

from contract.tickets import PAID, CartItem
from sagakit.auth.caller import Caller, acting_as
from sagakit.errors import FailedPrecondition, InvalidArgument, NotFound
from sagakit.testing.tables import LostResponseTables
from services.purchase.commands import REUSED
from services.purchase.ticket import Report
from tests.support.usecases import PurchaseHarness

BLUE = CartItem("blue", 3)


@pytest.fixture
async def shop() -> PurchaseHarness:
    """Purchase with the open cart "c", which contains 3 blue."""
    shop = PurchaseHarness()
    await shop.purchase.create_cart("c")
    await shop.purchase.set_item("c", "blue", 3)
    return shop


async def race(shop: PurchaseHarness, *calls):
    """Return the results of the calls, each made by its own process at the same time."""
    return await asyncio.gather(*(call(shop.process()) for call in calls), return_exceptions=True)


CALLS = {
    "create": lambda purchase, key: purchase.create_cart("c", key),
    "add": lambda purchase, key: purchase.add_item("c", "red", 2, key),
    "set": lambda purchase, key: purchase.set_item("c", "red", 2, key),
    "remove": lambda purchase, key: purchase.remove_item("c", "blue", key),
    "close": lambda purchase, key: purchase.close_cart("c", key),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@each_call
async def test_repeat_returns_the_first_result_and_changes_nothing(shop: PurchaseHarness, call):
    first = await call(shop.purchase, "k")
    rows = dict(shop.tables.rows)

    assert await call(shop.purchase, "k") == first
    assert await call(shop.process(), "k") == first
    assert shop.tables.rows == rows


@each_call
async def test_repeat_does_not_undo_later_changes(shop: PurchaseHarness, call):
    first = await call(shop.purchase, "k")
    if (await shop.purchase.get_cart("c")).status == "open":
        await shop.purchase.set_item("c", "blue", 7)
        await shop.purchase.set_item("c", "red", 9)
    since = await shop.purchase.get_cart("c")

    assert await call(shop.purchase, "k") == first
    assert await shop.purchase.get_cart("c") == since


async def test_result_without_changes_is_stored_too(shop: PurchaseHarness):
    same = await shop.purchase.set_item("c", "blue", 3, "k")
    await shop.purchase.set_item("c", "blue", 7)

    assert await shop.purchase.set_item("c", "blue", 3, "k") == same
    assert (await shop.purchase.get_cart("c")).items == (CartItem("blue", 7),)


@each_call
@pytest.mark.parametrize("applied", [True, False])
async def test_call_with_a_lost_response_is_applied_once(shop: PurchaseHarness, call, applied):
    purchase = shop.process(tables=LostResponseTables(shop.tables, applied=applied))

    answer = await call(purchase, "k")

    assert answer == await call(shop.purchase, "k")


async def test_create_reports_whether_this_command_created_the_cart(shop: PurchaseHarness):
    created = await shop.purchase.create_cart("d", "k")

    assert created.created
    assert (await shop.purchase.create_cart("d", "k")) == created
    assert not (await shop.purchase.create_cart("d", "another")).created
    assert not (await shop.purchase.create_cart("d")).created


async def test_repeated_checkout_returns_the_ticket_as_it_was_opened(shop: PurchaseHarness):
    await shop.purchase.close_cart("c")
    opened = await shop.purchase.checkout("c", "k")
    await shop.purchase.apply_report(opened.orderid, Report("e", PAID, 1.0))

    assert await shop.purchase.checkout("c", "k") == opened
    now = await shop.purchase.checkout("c", "another")
    assert (now.orderid, now.status) == (opened.orderid, "approved")
    assert shop.statuses == ["pre-approved", "approved"]


async def test_repeated_cancel_publishes_once(shop: PurchaseHarness):
    await shop.purchase.close_cart("c")
    orderid = (await shop.purchase.checkout("c")).orderid
    canceled = await shop.purchase.cancel_order(orderid, "k")

    assert await shop.purchase.cancel_order(orderid, "k") == canceled
    assert shop.statuses == ["pre-approved", "canceled"]


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
async def test_commandid_of_another_request_is_rejected(shop: PurchaseHarness, other):
    first = await shop.purchase.set_item("c", "red", 2, "k")

    with pytest.raises(InvalidArgument) as rejected:
        await other(shop.purchase)

    assert (rejected.value.field, rejected.value.why) == ("commandid", REUSED)
    assert await shop.purchase.get_cart("c") == first


async def test_commandid_is_unique_only_within_a_cart(shop: PurchaseHarness):
    await shop.purchase.create_cart("d")
    await shop.purchase.set_item("c", "red", 2, "k")

    other = await shop.purchase.set_item("d", "gold", 1, "k")

    assert (other.cartid, other.items) == ("d", (CartItem("gold", 1),))


async def test_stored_result_of_an_expired_cart_is_not_shown_to_another_user(shop: PurchaseHarness):
    with acting_as(Caller("alice", operator=False)):
        await shop.purchase.create_cart("hers", "k")
    shop.tables.rows = {key: row for key, row in shop.tables.rows.items() if key.name != "hers"}

    with acting_as(Caller("bob", operator=False)):
        with pytest.raises(InvalidArgument) as rejected:
            await shop.purchase.create_cart("hers", "k")
        his = await shop.purchase.create_cart("hers", "another")

    assert rejected.value.why == REUSED
    assert his.created


async def test_rejected_call_can_be_repeated_with_its_commandid(shop: PurchaseHarness):
    with pytest.raises(FailedPrecondition, match="close it first"):
        await shop.purchase.checkout("c", "k")
    with pytest.raises(NotFound):
        await shop.purchase.set_item("later", "blue", 3, "k")

    await shop.purchase.close_cart("c")
    await shop.purchase.create_cart("later")

    assert (await shop.purchase.checkout("c", "k")).items == (BLUE,)
    assert (await shop.purchase.set_item("later", "blue", 3, "k")).items == (BLUE,)


@each_call
async def test_concurrent_repeats_return_the_same_result(shop: PurchaseHarness, call):
    one, two = await race(shop, *[lambda purchase: call(purchase, "k")] * 2)

    assert one == two == await call(shop.purchase, "k")


async def test_concurrent_checkouts_open_one_order(shop: PurchaseHarness):
    await shop.purchase.close_cart("c")

    one, two = await race(shop, *[lambda purchase: purchase.checkout("c", "k")] * 2)

    assert one == two
    assert [ticket.orderid for ticket in shop.published] == [one.orderid]


async def test_of_two_concurrent_requests_with_one_commandid_one_is_rejected(shop: PurchaseHarness):
    answers = await race(
        shop,
        lambda purchase: purchase.set_item("c", "red", 2, "k"),
        lambda purchase: purchase.set_item("c", "red", 5, "k"),
    )

    (rejected,) = (answer for answer in answers if isinstance(answer, InvalidArgument))
    (done,) = (answer for answer in answers if answer is not rejected)
    assert rejected.why == REUSED
    assert await shop.purchase.get_cart("c") == done
