"""Corrupt entities in the audit: each is named with field and reason, and hides no other."""

from dataclasses import replace

import pytest

from sagactl.inspect.audit import problems, summary
from sagactl.inspect.records import load_records
from sagakit.tables import Insert, Key
from services.payment.simulated import LEDGER
from tests.unit.test_audit import tables_with

CORRUPT = [
    ("OrderTicket", "order-0", {"status": 5}, "Ticket.status: its type is int"),
    ("OrderTicket", "order-0", {"items": ["blue"]}, "CartItem: its type is str"),
    (
        "OrderTicket",
        "order-0",
        {"history": [{"status": "x"}]},
        "HistoryEntry.time: the entity has no property 'time'",
    ),
    (
        "Reservation",
        "order-0",
        {"taken": [{"itemid": "blue", "shard": "0", "count": 1}]},
        "Allocation.shard: its type is str",
    ),
    ("Payment", "order-0", {"amount": "many"}, "Charge.amount: its type is str"),
    ("Delivery", "order-0", {"$unreadable": "damaged JSON"}, "Shipment: damaged JSON"),
    (LEDGER, "order-0", {"charged": None}, "Entry.charged: its type is NoneType"),
    ("StockItem", "blue", {"stock": 1.5}, "Item.stock: its type is float"),
    ("StockShard", "blue:0", {"sold": True}, "Shard.sold: its type is bool"),
]


@pytest.mark.parametrize(
    ("kind", "name", "change", "reason"), CORRUPT, ids=[f"{each[0]} {each[3]}" for each in CORRUPT]
)
async def test_corrupt_entity_is_named_and_hides_no_other(kind, name, change, reason):
    tables = await tables_with(2)
    row = tables.rows[Key(kind, name)]
    tables.rows[Key(kind, name)] = replace(row, entity={**row.entity, **change})

    records = await load_records(tables)

    assert problems(records)[0] == f"corrupt: {kind} {name}: {reason}"
    assert summary(records)[-1] == "corrupt entities: 1"
    assert "order order-1: its ticket is still pre-approved" in problems(records)
    assert not any("order order-0:" in each for each in problems(records)) or not name.startswith("order")


async def test_shard_with_an_odd_name_is_corrupt():
    tables = await tables_with(0)
    await tables.commit([Insert(Key("StockShard", "blue"), {"available": 1})])

    assert (await load_records(tables)).corrupt == [
        "StockShard blue: ValueError: invalid literal for int() with base 10: 'blue'"
    ]


async def test_units_are_kept_once_for_all_orders_that_have_the_same():
    records = await load_records(await tables_with(50))

    assert len({id(order.reserved) for order in records.orders.values()}) == 1
