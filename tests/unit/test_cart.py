"""The cart's rules, without I/O."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.fields import MAX_COUNT, MAX_ITEMS_PER_CART
from contract.tickets import CartItem
from sagakit.errors import FailedPrecondition, InvalidArgument
from services.purchase.cart import CHECKED_OUT, CLOSED, OPEN, Cart, add, check_out, close, put, remove

BLUE_3 = CartItem("blue", 3)
RED_2 = CartItem("red", 2)


def test_items_keep_the_order_in_which_they_were_added():
    cart = add(add(add(Cart("c"), "blue", 3), "red", 2), "blue", 1)

    assert cart.items == (CartItem("blue", 4), RED_2)


def test_cart_is_limited_to_a_hundred_different_items():
    full = Cart("c", items=tuple(CartItem(f"i{n}", 1) for n in range(MAX_ITEMS_PER_CART)))

    for change in (add, put):
        with pytest.raises(InvalidArgument) as rejected:
            change(full, "one-more", 1)
        assert rejected.value.field == "itemid"
    assert add(full, "i0", 1).items[0].count == 2
    assert put(full, "i0", 3).items[0].count == 3


def test_count_of_an_item_is_limited_to_a_million():
    cart = add(Cart("c"), "blue", MAX_COUNT)

    with pytest.raises(InvalidArgument) as rejected:
        add(cart, "blue", 1)

    assert rejected.value.field == "count"


def test_remove_removes_all_units_of_one_item():
    cart = Cart("c", items=(BLUE_3, RED_2))

    assert remove(cart, "blue").items == (RED_2,)
    assert remove(cart, "missing") == cart


def test_put_keeps_the_position_of_an_item():
    cart = Cart("c", items=(BLUE_3, RED_2))

    assert put(cart, "blue", 1).items == (CartItem("blue", 1), RED_2)
    assert put(cart, "gold", 1).items == (BLUE_3, RED_2, CartItem("gold", 1))
    assert put(cart, "blue", 3) == cart


@pytest.mark.parametrize("status", [CLOSED, CHECKED_OUT])
def test_only_an_open_cart_can_be_changed(status):
    cart = Cart("c", status, (BLUE_3,))

    for change in (
        lambda: add(cart, "red", 1),
        lambda: put(cart, "blue", 1),
        lambda: remove(cart, "blue"),
    ):
        with pytest.raises(FailedPrecondition) as rejected:
            change()
        assert rejected.value.reason == "cart-not-open"


def test_closing_again_changes_nothing():
    closed = close(Cart("c", OPEN, (BLUE_3,)))

    assert closed.status == CLOSED
    assert close(closed) == closed
    assert close(check_out(closed, "o")).status == CHECKED_OUT


@pytest.mark.parametrize(
    ("cart", "reason"),
    [(Cart("c", OPEN, (BLUE_3,)), "cart-not-closed"), (Cart("c", CLOSED), "cart-empty")],
)
def test_open_or_empty_cart_cannot_be_checked_out(cart, reason):
    with pytest.raises(FailedPrecondition) as rejected:
        check_out(cart, "o")

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
