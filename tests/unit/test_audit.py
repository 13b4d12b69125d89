"""The audit: every kind of disagreement between records is found and named."""

import copy
from dataclasses import asdict, replace

import pytest

from contract.tickets import CartItem
from sagactl.inspect.audit import ORDERS, problems, summary
from sagactl.inspect.records import PAGE, Order, Records, load_records
from sagakit.audits import Slice, check_slice
from sagakit.tables import Insert, Key
from sagakit.testing.clock import START
from sagakit.testing.tables import MemoryTables
from services.delivery.shipment import Shipment
from services.delivery.storage import delivery_key, shipment_entity
from services.payment.charge import SETTLED, Charge
from services.payment.simulated import LEDGER, Entry
from services.payment.storage import charge_entity, payment_key
from services.purchase.storage import ticket_entity, ticket_key
from services.purchase.ticket import Report, opened, reported
from services.stock.inventory import RESERVED, SOLD, Allocation, Item, Reservation, Shard
from services.stock.storage import (
    item_entity,
    item_key,
    reservation_entity,
    reservation_key,
    shard_entities,
)

BLUE = (("blue", 3),)


def balanced() -> Records:
    """Return three orders of 3 blue: one approved and paid, one whose payment was waived, one that failed."""
    records = Records()
    records.items["blue"] = Item("blue", 100, 20, shards=2)
    records.shards["blue", 0] = Shard(4, sold=6)
    records.shards["blue", 1] = Shard(10)
    records.allocated["blue", 0, "sold"] = 6
    records.allocated["blue", 1, "released"] = 3
    records.orders["paid"] = Order(
        "approved",
        ordered=BLUE,
        amount=300,
        reservation="sold",
        reserved=BLUE,
        price=300,
        payment="settled",
        shipped=BLUE,
        charged=300,
    )
    records.orders["waived"] = Order(
        "approved", ordered=BLUE, reservation="sold", reserved=BLUE, shipped=BLUE
    )
    records.orders["failed"] = Order(
        "canceled",
        ordered=BLUE,
        amount=300,
        reservation="released",
        reserved=BLUE,
        price=300,
        payment="canceled",
        charged=300,
        refunded=300,
    )
    return records


@pytest.mark.parametrize(
    ("record", "field"), [("ticket", "ticket"), ("reservation", "reservation"), ("charge", "payment")]
)
def test_status_of_a_newer_release_is_named(record: str, field: str):
    """Known mistake: its order is left out of every comparison."""
    records = balanced()
    records.orders["new"] = Order(**{"ticket": "canceled", field: "teleported"})

    assert problems(records) == [
        f"order new: the status of its {record} is unknown to this version: teleported"
    ]


def test_balanced_records_have_no_problems():
    assert problems(balanced()) == []
    assert summary(balanced()) == [
        "orders: 3",
        "  approved: 2",
        "  canceled: 1",
        "item blue: 20 added; 14 available, 0 reserved, 6 sold",
        "charged 600 - refunded 300 = 300; approved for payment: 300",
    ]


@pytest.mark.parametrize(
    ("orderid", "change", "found"),
    [
        ("paid", {"ticket": "pre-approved"}, "order paid: its ticket is still pre-approved"),
        ("paid", {"ticket": "reserved"}, "order paid: its ticket is still reserved"),
        ("paid", {"awaits_reply": True}, "order paid: its ticket is approved and awaits a reply"),
        ("paid", {"ticket": None}, "order paid: it has no ticket"),
        ("paid", {"reservation": "reserved"}, "order paid: its reservation is neither sold nor released"),
        ("paid", {"reservation": "released"}, "order paid: it is approved, but its reservation is released"),
        ("waived", {"reservation": None}, "order waived: it is approved, but its reservation is None"),
        ("paid", {"payment": "charged"}, "order paid: its charge is neither settled nor refunded"),
        ("paid", {"payment": "charging"}, "order paid: its charge has no recorded outcome"),
        ("paid", {"shipped": None}, "order paid: it is approved, but not delivered"),
        (
            "paid",
            {"shipped": (("blue", 99),)},
            "order paid: it is approved for 3 blue, but 99 blue was shipped",
        ),
        (
            "waived",
            {"shipped": (("blue", 3), ("gold", 1))},
            "order waived: it is approved for 3 blue, but 3 blue, 1 gold was shipped",
        ),
        ("paid", {"shipped": ()}, "order paid: it is approved for 3 blue, but nothing was shipped"),
        (
            "paid",
            {"reserved": (("red", 3),)},
            "order paid: it is approved for 3 blue, but 3 red was reserved",
        ),
        ("paid", {"price": 100}, "order paid: it is approved for 300, but its reservation is for 100"),
        ("waived", {"price": 300}, "order waived: it is approved for None, but its reservation is for 300"),
        ("paid", {"charged": 600}, "order paid: it is approved for 300, but 600 was charged"),
        ("paid", {"charged": 0}, "order paid: it is approved for 300, but 0 was charged"),
        ("paid", {"charged": 500}, "500 was charged for approved orders of 300"),
        ("paid", {"refunded": 300}, "order paid: it is approved for 300, but 0 was charged"),
        ("waived", {"charged": 50}, "order waived: it is approved for 0, but 50 was charged"),
        ("failed", {"refunded": 0}, "order failed: it is canceled, but 300 was charged"),
        ("failed", {"reservation": "sold"}, "order failed: it is canceled, but sold"),
        ("failed", {"payment": "settled"}, "order failed: it is canceled, but its charge is settled"),
        ("failed", {"shipped": ()}, "order failed: it is canceled, but delivered"),
    ],
)
def test_order_that_does_not_balance_is_named(orderid: str, change: dict, found: str):
    records = balanced()
    for name, value in change.items():
        setattr(records.orders[orderid], name, value)

    assert found in problems(records)


@pytest.mark.parametrize(
    ("shard", "found"),
    [
        (Shard(5, sold=6), "item blue: 20 units were added, 21 are accounted for"),
        (Shard(3, sold=6), "item blue: 20 units were added, 19 are accounted for"),
        (Shard(5, sold=5), "item blue: shard 0 has 5 units sold, orders have 6"),
        (Shard(3, reserved=1, sold=6), "item blue: shard 0 has 1 units reserved, orders have 0"),
        (Shard(-2, sold=12), "item blue: shard 0 has a negative count"),
    ],
)
def test_unaccounted_units_are_found(shard: Shard, found: str):
    records = balanced()
    records.shards["blue", 0] = shard

    assert found in problems(records)


@pytest.mark.parametrize(
    ("part", "key", "value", "problem"),
    [
        ("allocated", ("blue", 5, "reserved"), 2, "item blue: shard 5 has 0 units reserved, orders have 2"),
        ("allocated", ("blue", 5, "sold"), 2, "item blue: shard 5 has 0 units sold, orders have 2"),
        ("shards", ("ghost", 0), Shard(4), "item ghost: it has shards but no record of its own"),
    ],
    ids=["reserved of a missing shard", "sold of a missing shard", "missing item"],
)
def test_row_without_its_counterpart_is_found(part, key, value, problem):
    records = balanced()
    getattr(records, part)[key] = value

    assert problems(records) == [problem]


async def tables_with(orders: int) -> MemoryTables:
    """Return the records of `orders` open orders of 2 blue."""
    tables = MemoryTables()
    await tables.commit([Insert(item_key("blue"), item_entity(Item("blue", 100, 9_000, shards=2)))])
    units = {0: Shard(4_000, 300, 200), 1: Shard(4_000, 300, 200)}
    await tables.commit([Insert(key, entity) for key, entity in shard_entities("blue", units).items()])
    for orderid in (f"order-{number}" for number in range(orders)):
        ticket = replace(opened(orderid, "cart", (), START), amount=200)
        taken = (Allocation("blue", 0, 1), Allocation("blue", 1, 1))
        reservation = Reservation(orderid, RESERVED, (), taken, time=START)
        charge = Charge(orderid, "charged", START, amount=200)
        await tables.commit(
            [
                Insert(ticket_key(orderid), ticket_entity(ticket, None)),
                Insert(reservation_key(orderid), reservation_entity(reservation, None)),
                Insert(payment_key(orderid), charge_entity(charge, None)),
                Insert(delivery_key(orderid), shipment_entity(Shipment(orderid, (), START))),
                Insert(Key(LEDGER, orderid), asdict(Entry(charged=200, refunded=50))),
            ]
        )
    return tables


async def test_all_pages_are_read():
    records = await load_records(await tables_with(2 * PAGE + 1))

    assert len(records.orders) == 2 * PAGE + 1
    assert records.orders["order-7"] == Order(
        "pre-approved",
        awaits_reply=True,
        amount=200,
        reservation="reserved",
        reserved=(("blue", 2),),
        payment="charged",
        shipped=(),
        charged=200,
        refunded=50,
    )
    assert all(order == records.orders["order-7"] for order in records.orders.values())
    assert records.items == {"blue": Item("blue", 100, 9_000, shards=2)}
    assert records.shards == {("blue", number): Shard(4_000, 300, 200) for number in (0, 1)}
    assert records.allocated == {("blue", number, "reserved"): 2 * PAGE + 1 for number in (0, 1)}


@pytest.mark.parametrize("kind", ["Reservation", "Payment", "Delivery", LEDGER])
async def test_record_without_a_ticket_is_found(kind: str):
    tables = await tables_with(1)
    tables.rows = {key: row for key, row in tables.rows.items() if key.kind == kind}

    assert "order order-0: it has no ticket" in problems(await load_records(tables))


async def test_audit_changes_nothing():
    tables = await tables_with(1)
    before = copy.copy(tables.rows)

    await load_records(tables)

    assert tables.rows == before


async def test_shipment_of_more_than_was_ordered_is_found():
    """A forged `approved` may list other items than the ticket."""
    tables = MemoryTables()
    ticket = opened("o", "cart", (CartItem("blue", 1), CartItem("red", 1), CartItem("blue", 2)), START)
    for status in ("reserved", "paid", "delivery-arranged"):
        ticket, _ = reported(ticket, Report("e", status, START, amount=300))
    allocations = (Allocation("red", 0, 1), Allocation("blue", 0, 2), Allocation("blue", 1, 1))
    reservation = Reservation("o", SOLD, ticket.items, allocations, 300, time=START)
    shipment = Shipment("o", (CartItem("blue", 99), CartItem("red", 1)), START)
    await tables.commit(
        [
            Insert(ticket_key("o"), ticket_entity(ticket, None)),
            Insert(reservation_key("o"), reservation_entity(reservation, None)),
            Insert(delivery_key("o"), shipment_entity(shipment)),
            Insert(payment_key("o"), charge_entity(Charge("o", SETTLED, START, amount=300), None)),
            Insert(Key(LEDGER, "o"), asdict(Entry(charged=300))),
        ]
    )

    found = [each for each in problems(await load_records(tables)) if each.startswith("order")]

    assert found == ["order o: it is approved for 3 blue, 1 red, but 99 blue, 1 red was shipped"]


def test_lost_record_of_a_charge_is_found():
    """Known mistake: the provider's ledger stands in for it, and the charge can never be refunded."""
    records = balanced()
    records.orders["paid"].payment = None

    assert problems(records) == ["order paid: it is approved for 300, but has no charge on record"]


async def test_slices_find_the_orders_that_do_not_balance():
    tables = await tables_with(3)
    sliced = ORDERS.sliced

    old = await check_slice(tables, sliced, Slice.at(0, 1), START + 1, lambda _: False)
    young = await check_slice(tables, sliced, Slice.at(0, 1), START, lambda _: False)

    assert old.problems.keys() == {f"order-{number}" for number in range(3)}
    assert "order order-1: its ticket is still pre-approved" in old.problems["order-1"]
    assert (old.names, old.entities) == (3, 15)
    assert young.problems == {}, "its order may be in progress"


async def test_slices_find_corrupt_and_lonely_records():
    tables = MemoryTables()
    await tables.commit([Insert(ticket_key("corrupt"), {"status": "approved"})])
    await tables.commit(
        [Insert(payment_key("lonely"), charge_entity(Charge("lonely", SETTLED, START), None))]
    )

    found = await check_slice(tables, ORDERS.sliced, Slice.at(0, 1), START, lambda _: False)

    assert [*found.problems] == ["corrupt", "lonely"]
    assert found.problems["corrupt"][0].startswith("corrupt: OrderTicket corrupt: ")
    assert found.problems["lonely"] == ["order lonely: it has no ticket"]
