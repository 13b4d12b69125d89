"""The inventory's rules, without I/O."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.tickets import CartItem
from sagakit.errors import NotAllowed
from services.stock.inventory import REFUSED, RESERVED, Item, put, reserve

BLUE = Item("blue", price=100, stock=10)
RED = Item("red", price=50, stock=10, waives_payment=True)
YELLOW = Item("yellow", price=100, stock=0)
KNOWN = {item.itemid: item for item in (BLUE, RED, YELLOW)}


def test_an_order_that_can_be_had_is_reserved_at_its_price():
    reservation, changed = reserve("o", [CartItem("blue", 3)], KNOWN)

    assert (reservation.status, reservation.amount, reservation.waives_payment) == (RESERVED, 300, False)
    assert (changed["blue"].available, changed["blue"].reserved) == (7, 3)


def test_one_item_that_waives_payment_waives_it_for_the_order():
    reservation, changed = reserve("o", [CartItem("blue", 3), CartItem("red", 2)], KNOWN)

    assert reservation.waives_payment
    assert set(changed) == {"blue", "red"}


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ([CartItem("blue", 1), CartItem("yellow", 1)], "sold-out: yellow"),
        ([CartItem("red", 1), CartItem("yellow", 1)], "sold-out: yellow"),
        ([CartItem("blue", 11)], "sold-out: blue"),
        ([CartItem("blue", 6), CartItem("blue", 5)], "sold-out: blue"),
        ([CartItem("blue", 1), CartItem("purple", 1)], "unknown-item: purple"),
        ([], "no-items"),
    ],
)
def test_an_order_that_cannot_be_had_whole_takes_nothing_and_says_why(wanted, reason):
    reservation, changed = reserve("o", wanted, KNOWN)

    assert (reservation.status, reservation.reason, reservation.amount) == (REFUSED, reason, None)
    assert changed == {}


def test_an_item_that_is_put_keeps_what_orders_have_of_it():
    taken = Item("blue", price=100, stock=10, reserved=3, sold=2)

    changed = put(taken, "blue", 120, 5, True)

    assert (changed.price, changed.stock, changed.available, changed.waives_payment) == (120, 5, 0, True)
    with pytest.raises(NotAllowed) as refused:
        put(taken, "blue", 120, 4, True)
    assert refused.value.reason == "stock-below-taken"


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 20)),
    st.lists(st.lists(st.builds(CartItem, st.sampled_from("abcd"), st.integers(1, 9)), max_size=4)),
)
def test_stock_is_available_or_reserved_or_sold_and_never_less_than_nothing(stocks, orders):
    known = {itemid: Item(itemid, 1, stock) for itemid, stock in stocks.items()}
    taken = dict.fromkeys(stocks, 0)

    for number, wanted in enumerate(orders):
        reservation, changed = reserve(str(number), wanted, known)
        known |= changed
        if reservation.status == RESERVED:
            for item in reservation.items:
                taken[item.itemid] += item.count

    for itemid, item in known.items():
        assert item.available >= 0
        assert item.available + item.reserved + item.sold == stocks[itemid]
        assert item.reserved == taken[itemid]
