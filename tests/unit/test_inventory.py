"""The inventory's rules, without I/O."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.tickets import CartItem
from sagakit.errors import NotAllowed
from services.stock.inventory import (
    MAX_SHARDS,
    REFUSED,
    RELEASED,
    RESERVED,
    Item,
    Shard,
    Taken,
    home_shard,
    put,
    released,
    reserve,
    reserved,
    settled,
    short,
    sold,
    stocked,
    tombstone,
)

BLUE = Item("blue", price=100, stock=10)
RED = Item("red", price=50, stock=10, waives_payment=True)
YELLOW = Item("yellow", price=100, stock=0)
HOT = Item("hot", price=1, stock=12, shards=4)
KNOWN = {item.itemid: item for item in (BLUE, RED, YELLOW, HOT)}
WHOLE = {
    "blue": {0: Shard(10)},
    "red": {0: Shard(10)},
    "yellow": {0: Shard()},
    "hot": {number: Shard(3) for number in range(4)},
}
NOW = 5.0


def test_an_order_that_can_be_had_is_reserved_at_its_price():
    reservation = reserve("o", [CartItem("blue", 3)], KNOWN, WHOLE, NOW)

    assert (reservation.status, reservation.amount, reservation.waives_payment) == (RESERVED, 300, False)
    assert reservation.taken == (Taken("blue", 0, 3),)
    assert reservation.time == NOW


def test_one_item_that_waives_payment_waives_it_for_the_order():
    reservation = reserve("o", [CartItem("blue", 3), CartItem("red", 2)], KNOWN, WHOLE, NOW)

    assert reservation.waives_payment
    assert reservation.taken == (Taken("blue", 0, 3), Taken("red", 0, 2))


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ([CartItem("blue", 1), CartItem("yellow", 1)], "sold-out: yellow"),
        ([CartItem("red", 1), CartItem("yellow", 1)], "sold-out: yellow"),
        ([CartItem("blue", 11)], "sold-out: blue"),
        ([CartItem("hot", 13)], "sold-out: hot"),
        ([CartItem("blue", 6), CartItem("blue", 5)], "sold-out: blue"),
        ([CartItem("blue", 1), CartItem("purple", 1)], "unknown-item: purple"),
        ([], "no-items"),
    ],
)
def test_an_order_that_cannot_be_had_whole_takes_nothing_and_says_why(wanted, reason):
    reservation = reserve("o", wanted, KNOWN, WHOLE, NOW)

    assert (reservation.status, reservation.reason, reservation.amount) == (REFUSED, reason, None)
    assert reservation.taken == ()


def test_an_order_turns_to_its_home_shard_first():
    reservation = reserve("o", [CartItem("hot", 3)], KNOWN, WHOLE, NOW)

    assert reservation.taken == (Taken("hot", home_shard("o", 4), 3),)


def test_one_shard_that_suffices_is_taken_before_several():
    home = home_shard("o", 4)
    other = (home + 2) % 4
    shards = {number: Shard(5 if number == other else 2) for number in range(4)}

    reservation = reserve("o", [CartItem("hot", 4)], KNOWN, {"hot": shards}, NOW)

    assert reservation.taken == (Taken("hot", other, 4),)


def test_several_shards_fill_what_none_can():
    reservation = reserve("o", [CartItem("hot", 7)], KNOWN, WHOLE, NOW)

    assert sum(taken.count for taken in reservation.taken) == 7
    assert reservation.taken[0].shard == home_shard("o", 4)
    assert len({taken.shard for taken in reservation.taken}) == 3


def test_orders_spread_over_all_shards():
    homes = [home_shard(f"order-{number}", MAX_SHARDS) for number in range(800)]

    assert all(60 < homes.count(shard) < 140 for shard in range(MAX_SHARDS))


def test_what_is_short_is_told_so_that_all_its_shards_can_be_looked_at():
    home = home_shard("o", 4)
    seen = {"hot": {home: Shard(3)}, "blue": {0: Shard(1)}}
    wanted = [CartItem("hot", 4), CartItem("blue", 1), CartItem("purple", 1)]

    assert short("o", wanted, KNOWN, seen) == ["hot"]
    assert short("o", [CartItem("hot", 3)], KNOWN, seen) == []


def test_pieces_move_between_available_reserved_and_sold():
    shard = reserved(Shard(10), 3)

    assert shard == Shard(available=7, reserved=3)
    assert sold(shard, 3) == Shard(available=7, sold=3)
    assert released(shard, 3) == Shard(available=10)


def test_a_reservation_that_is_settled_and_a_tombstone_are_at_rest():
    reservation = reserve("o", [CartItem("blue", 3)], KNOWN, WHOLE, NOW)

    after = settled(reservation, RELEASED, 9.0)

    assert (after.status, after.settled_time, after.taken) == (RELEASED, 9.0, reservation.taken)
    assert (tombstone("o", 9.0).status, tombstone("o", 9.0).taken) == (RELEASED, ())


def test_a_new_item_is_spread_evenly_over_its_shards():
    shards = put(None, {}, replace(HOT, stock=14))

    assert [shards[number].available for number in range(4)] == [4, 4, 3, 3]


def test_an_item_that_is_put_keeps_what_orders_have_of_it():
    before = replace(HOT, stock=12)
    shards = {0: Shard(0, reserved=3), 1: Shard(1, sold=2), 2: Shard(3), 3: Shard(3)}

    changed = put(before, shards, replace(HOT, stock=25))

    assert [changed[number].available for number in range(4)] == [5, 5, 5, 5]
    assert (changed[0].reserved, changed[1].sold) == (3, 2)
    assert put(before, shards, replace(HOT, stock=5))[3] == Shard()
    with pytest.raises(NotAllowed) as refused:
        put(before, shards, replace(HOT, stock=4))
    assert refused.value.reason == "stock-below-taken"


def test_a_price_alone_changes_no_shard():
    assert put(HOT, WHOLE["hot"], replace(HOT, price=7)) == {}


def test_an_item_is_split_into_more_shards_and_never_fewer():
    changed = put(HOT, WHOLE["hot"], replace(HOT, shards=6))

    assert [changed[number].available for number in range(6)] == [2] * 6
    with pytest.raises(NotAllowed) as refused:
        put(HOT, WHOLE["hot"], replace(HOT, shards=3))
    assert refused.value.reason == "shards-only-grow"


items = st.builds(
    Item, st.sampled_from("abc"), st.just(1), st.integers(0, 40), shards=st.integers(1, MAX_SHARDS)
)
wanted = st.lists(st.builds(CartItem, st.sampled_from("abcd"), st.integers(1, 9)), max_size=4)
moves = st.sampled_from([sold, released, None])


@given(st.lists(items), st.lists(st.tuples(wanted, moves)))
def test_stock_is_available_or_reserved_or_sold_and_never_less_than_nothing(catalogue, orders):
    known = {item.itemid: item for item in catalogue}
    shards = {itemid: put(None, {}, item) for itemid, item in known.items()}

    for number, (cart, end) in enumerate(orders):
        enough = {
            each.itemid: stocked(known[each.itemid], shards[each.itemid]).pieces.available
            for each in cart
            if each.itemid in known
        }
        reservation = reserve(str(number), cart, known, shards, NOW)
        counts = {item.itemid: item.count for item in reservation.items}
        can_be_had = bool(counts) and all(enough.get(itemid, -1) >= n for itemid, n in counts.items())
        assert (reservation.status == RESERVED) == can_be_had, "refused only where the total does not suffice"
        for taken in reservation.taken:
            mine = shards[taken.itemid]
            mine[taken.shard] = reserved(mine[taken.shard], taken.count)
            counts[taken.itemid] -= taken.count
            if end is not None:
                mine[taken.shard] = end(mine[taken.shard], taken.count)
        assert reservation.status == REFUSED or not any(counts.values())

    for itemid, item in known.items():
        pieces = stocked(item, shards[itemid]).pieces
        assert pieces.available + pieces.reserved + pieces.sold == item.stock
        assert all(min(s.available, s.reserved, s.sold) >= 0 for s in shards[itemid].values())
