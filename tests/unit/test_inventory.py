"""The inventory's rules, without I/O."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from contract.tickets import CartItem
from sagakit.errors import FailedPrecondition
from services.stock.inventory import (
    MAX_SHARDS,
    REFUSED,
    RELEASED,
    RESERVED,
    SOLD,
    Allocation,
    Item,
    Reservation,
    Shard,
    home_shard,
    put,
    released,
    reserve,
    reserved,
    settled,
    shortages,
    sold,
    stocked,
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


def test_order_is_reserved_at_its_price():
    reservation = reserve("o", [CartItem("blue", 3)], KNOWN, WHOLE, NOW)

    assert (reservation.status, reservation.amount, reservation.waives_payment) == (RESERVED, 300, False)
    assert reservation.allocations == (Allocation("blue", 0, 3),)
    assert reservation.time == NOW


def test_one_item_waives_payment_for_the_whole_order():
    reservation = reserve("o", [CartItem("blue", 3), CartItem("red", 2)], KNOWN, WHOLE, NOW)

    assert reservation.waives_payment
    assert reservation.allocations == (Allocation("blue", 0, 3), Allocation("red", 0, 2))


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
def test_order_that_is_not_fully_available_is_rejected_with_a_reason(wanted, reason):
    reservation = reserve("o", wanted, KNOWN, WHOLE, NOW)

    assert (reservation.status, reservation.reason, reservation.amount) == (REFUSED, reason, None)
    assert reservation.allocations == ()


AT_HOME = {home_shard(orderid, 4): orderid for orderid in "abcdefghijkl"}
"""The id of an order for each of four home shards."""


@pytest.mark.parametrize("home", range(4))
def test_order_reserves_from_its_home_shard(home):
    reservation = reserve(AT_HOME[home], [CartItem("hot", 3)], KNOWN, WHOLE, NOW)

    assert reservation.allocations == (Allocation("hot", home, 3),)


@pytest.mark.parametrize("home", range(4))
def test_home_shard_with_just_enough_units_is_preferred_to_a_fuller_one(home):
    shards = {number: Shard(3 if number == home else 4) for number in range(4)}

    reservation = reserve(AT_HOME[home], [CartItem("hot", 3)], KNOWN, {"hot": shards}, NOW)

    assert reservation.allocations == (Allocation("hot", home, 3),)


@pytest.mark.parametrize("home", range(4))
def test_one_sufficient_shard_is_preferred_to_several(home):
    other = (home + 2) % 4
    shards = {number: Shard(4 if number == other else 3) for number in range(4)}

    reservation = reserve(AT_HOME[home], [CartItem("hot", 4)], KNOWN, {"hot": shards}, NOW)

    assert reservation.allocations == (Allocation("hot", other, 4),)


@pytest.mark.parametrize("home", range(4))
def test_several_shards_are_used_from_the_home_shard_on(home):
    reservation = reserve(AT_HOME[home], [CartItem("hot", 7)], KNOWN, WHOLE, NOW)

    in_turn = [(home + step) % 4 for step in range(3)]
    assert reservation.allocations == tuple(
        Allocation("hot", *each) for each in zip(in_turn, (3, 3, 1), strict=True)
    )


def test_orders_spread_over_all_shards():
    homes = [home_shard(f"order-{number}", MAX_SHARDS) for number in range(800)]

    assert all(60 < homes.count(shard) < 140 for shard in range(MAX_SHARDS))


def test_shortages_name_the_items_whose_shards_do_not_suffice():
    home = home_shard("o", 4)
    seen = {"hot": {home: Shard(3)}, "blue": {0: Shard(1)}}
    wanted = [CartItem("hot", 4), CartItem("blue", 1), CartItem("purple", 1)]

    assert shortages("o", wanted, KNOWN, seen) == ["hot"]
    assert shortages("o", [CartItem("hot", 3)], KNOWN, seen) == []


def test_price_change_changes_no_shard():
    assert put(HOT, WHOLE["hot"], replace(HOT, price=7)) == {}


ITEMIDS = "abc"
carts = st.lists(st.builds(CartItem, st.sampled_from("abcd"), st.integers(1, 9)), max_size=4)


class Warehouse(RuleBasedStateMachine):
    """Items are changed, ordered, sold and released in any order, as the service's transactions do."""

    def __init__(self) -> None:
        super().__init__()
        self.items: dict[str, Item] = {}
        self.shards: dict[str, dict[int, Shard]] = {}
        self.orders: dict[str, Reservation] = {}

    def available(self, itemid: str) -> int:
        return sum(shard.available for shard in self.shards[itemid].values())

    def allocated(self, itemid: str, number: int, status: str) -> int:
        """Units of a shard allocated to reservations with that status."""
        return sum(
            allocation.count
            for order in self.orders.values()
            for allocation in order.allocations
            if order.status == status and (allocation.itemid, allocation.shard) == (itemid, number)
        )

    def change(self, reservation: Reservation, change) -> None:
        for allocation in reservation.allocations:
            mine = self.shards[allocation.itemid]
            mine[allocation.shard] = change(mine[allocation.shard], allocation.count)

    @rule(itemid=st.sampled_from(ITEMIDS), stock=st.integers(0, 40), shards=st.integers(1, MAX_SHARDS))
    def put_item(self, itemid: str, stock: int, shards: int) -> None:
        before, units = self.items.get(itemid), self.shards.get(itemid, {})
        item = Item(itemid, 1, stock, shards=shards)
        taken = sum(shard.reserved + shard.sold for shard in units.values())
        if stock < taken or (before is not None and shards < before.shards):
            with pytest.raises(FailedPrecondition):
                put(before, units, item)
            return

        changed = put(before, units, item)

        self.items[itemid], self.shards[itemid] = item, {**units, **changed}
        spread = [shard.available for shard in changed.values()]
        assert not spread or max(spread) - min(spread) <= 1, "evenly"

    @rule(cart=carts)
    def order(self, cart: list[CartItem]) -> None:
        orderid = str(len(self.orders))
        counts = Counter({item.itemid: 0 for item in cart})
        for item in cart:
            counts[item.itemid] += item.count
        enough = [itemid in self.items and self.available(itemid) >= n for itemid, n in counts.items()]

        reservation = reserve(orderid, cart, self.items, self.shards, NOW)

        assert (reservation.status == RESERVED) == (bool(cart) and all(enough)), "the total decides"
        allocated = Counter[str]()
        for allocation in reservation.allocations:
            assert allocation.count > 0
            allocated[allocation.itemid] += allocation.count
        assert allocated == (counts if reservation.status == RESERVED else {}), "allocations add up"
        self.orders[orderid] = reservation
        self.change(reservation, reserved)

    @precondition(lambda self: any(order.status == RESERVED for order in self.orders.values()))
    @rule(data=st.data(), end=st.sampled_from([SOLD, RELEASED]))
    def settle(self, data: st.DataObject, end: str) -> None:
        still_open = [order for order in self.orders.values() if order.status == RESERVED]
        order = data.draw(st.sampled_from(still_open))

        self.orders[order.orderid] = settled(order, end, NOW)

        self.change(order, {SOLD: sold, RELEASED: released}[end])

    @invariant()
    def every_unit_is_available_reserved_or_sold(self) -> None:
        for itemid, item in self.items.items():
            units = stocked(item, self.shards[itemid]).units
            assert units.available + units.reserved + units.sold == item.stock
            assert set(self.shards[itemid]) == set(range(item.shards))

    @invariant()
    def every_shard_matches_its_allocations(self) -> None:
        for itemid, shards in self.shards.items():
            for number, shard in shards.items():
                assert min(shard.available, shard.reserved, shard.sold) >= 0
                assert shard.reserved == self.allocated(itemid, number, RESERVED)
                assert shard.sold == self.allocated(itemid, number, SOLD)


def test_stock_adds_up_after_any_sequence_of_changes():
    run_state_machine_as_test(Warehouse)


def test_units_come_from_the_fewest_shards_if_no_shard_has_enough():
    shards = {"hot": dict(enumerate(map(Shard, (1, 2, 40, 3, 1, 50, 2, 1))))}

    reservation = reserve("o", [CartItem("hot", 90)], {"hot": Item("hot", 100, 100, shards=8)}, shards, 1.0)

    assert {(each.shard, each.count) for each in reservation.allocations} == {(5, 50), (2, 40)}
