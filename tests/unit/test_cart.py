"""The cart's rules, without I/O."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.fields import MAX_COUNT, MAX_ITEMS_PER_CART
from contract.tickets import CartItem
from sagakit.errors import FailedPrecondition, InvalidArgument
from services.purchase.cart import CHECKED_OUT, CLOSED, Cart, add, check_out, close, put, remove

BLUE_3 = CartItem("blue", 3)
RED_2 = CartItem("red", 2)


def test_items_keep_the_order_in_which_they_were_added():
    cart = add(add(add(Cart("c"), "blue", 3), "red", 2), "blue", 1)

    assert cart.items == (CartItem("blue", 4), RED_2)


def test_number_of_different_items_is_limited():
    full = Cart("c", items=tuple(CartItem(f"i{n}", 1) for n in range(MAX_ITEMS_PER_CART)))

    for change in (add, put):
        with pytest.raises(FailedPrecondition) as rejected:
            change(full, "one-more", 1)
        assert rejected.value.reason == "too-many-items"
    assert add(full, "i0", 1).items[0].count == 2
    assert put(full, "i0", 3).items[0].count == 3
    assert check_out(replace(full, status=CLOSED), "o").orderid == "o"


def test_cart_that_an_earlier_version_filled_further_is_reduced_and_not_checked_out():
    over = Cart("c", items=tuple(CartItem(f"i{n}", 1) for n in range(100)))

    with pytest.raises(FailedPrecondition) as rejected:
        check_out(replace(over, status=CLOSED), "o")

    assert rejected.value.reason == "too-many-items"
    assert put(over, "i0", 3).items[0].count == 3
    assert len(remove(over, "i0").items) == 99


def test_remove_removes_all_units_of_one_item():
    cart = Cart("c", items=(BLUE_3, RED_2))

    assert remove(cart, "blue").items == (RED_2,)
    assert remove(cart, "missing") == cart


def test_put_keeps_the_position_of_an_item():
    cart = Cart("c", items=(BLUE_3, RED_2))

    assert put(cart, "blue", 1).items == (CartItem("blue", 1), RED_2)
    assert put(cart, "gold", 1).items == (BLUE_3, RED_2, CartItem("gold", 1))
    assert put(cart, "blue", 3) == cart


def test_units_of_an_item_are_limited_however_they_were_added():
    cart = add(Cart("c"), "blue", MAX_COUNT)

    with pytest.raises(InvalidArgument):
        add(cart, "blue", 1)


def test_cart_is_closed_once_and_then_stays_as_it_is():
    closed = close(Cart("c", items=(BLUE_3,)))
    checked_out = check_out(closed, "o")

    assert closed.status == CLOSED
    assert close(closed) is closed
    assert close(checked_out) is checked_out


@pytest.mark.parametrize("status", [CLOSED, CHECKED_OUT])
def test_only_an_open_cart_is_filled(status):
    cart = Cart("c", status, (BLUE_3,))

    for change in (lambda: add(cart, "red", 1), lambda: put(cart, "blue", 1), lambda: remove(cart, "blue")):
        with pytest.raises(FailedPrecondition) as rejected:
            change()
        assert rejected.value.reason == "cart-not-open"


@pytest.mark.parametrize(
    ("cart", "reason"),
    [
        (Cart("c", items=(BLUE_3,)), "cart-not-closed"),
        (Cart("c", CHECKED_OUT, (BLUE_3,), "o-1"), "cart-not-closed"),
        (Cart("c", CLOSED), "cart-empty"),
    ],
)
def test_only_a_closed_cart_with_items_is_checked_out(cart: Cart, reason: str):
    with pytest.raises(FailedPrecondition) as rejected:
        check_out(cart, "o-2")

    assert rejected.value.reason == reason


@given(st.lists(st.tuples(st.sampled_from(["blue", "red", "gold"]), st.integers(1, 1000)), max_size=30))
def test_cart_holds_exactly_the_added_units(additions):
    cart = Cart("c")

    for itemid, count in additions:
        cart = add(cart, itemid, count)

    totals = {item.itemid: item.count for item in cart.items}
    assert totals == {
        itemid: sum(count for each, count in additions if each == itemid) for itemid, _ in additions
    }
