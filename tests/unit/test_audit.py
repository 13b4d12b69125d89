"""The audit: every way in which books can disagree is found, and named."""

import copy

import pytest

from sagactl.audit import figures, problems, read_books
from sagactl.books import Books, Order
from sagakit.tables import Insert, Key
from services.stock.inventory import Item, Shard
from tests.support.tables import MemoryTables


def agreeing() -> Books:
    """Three orders of 3 blue: one approved and paid, one whose payment was waived, one that failed."""
    books = Books()
    books.items["blue"] = Item("blue", 100, 20, shards=2)
    books.shards["blue", 0] = Shard(4, sold=6)
    books.shards["blue", 1] = Shard(10)
    books.taken["blue", 0, "sold"] = 6
    books.taken["blue", 1, "released"] = 3
    books.orders["paid"] = Order(
        "approved", amount=300, reservation="sold", payment="settled", delivered=True, charged=300
    )
    books.orders["waived"] = Order("approved", reservation="sold", delivered=True)
    books.orders["failed"] = Order(
        "canceled", amount=300, reservation="released", payment="canceled", charged=300, refunded=300
    )
    return books


def test_books_that_agree_have_no_problems():
    assert problems(agreeing()) == []
    assert figures(agreeing()) == [
        "orders: 3",
        "  approved: 2",
        "  canceled: 1",
        "item blue: 20 put in; 14 available, 0 reserved, 6 sold",
        "charged 600 - refunded 300 = 300; approved for payment: 300",
        "outboxes: 0 events wait",
    ]


@pytest.mark.parametrize(
    ("orderid", "change", "found"),
    [
        ("paid", {"ticket": "pre-approved"}, "order paid: its ticket is still pre-approved"),
        ("paid", {"ticket": "reserved"}, "order paid: its ticket is still reserved"),
        ("paid", {"waits": True}, "order paid: its ticket is approved and waits for an answer"),
        ("paid", {"ticket": None}, "order paid: there is no ticket for it"),
        ("paid", {"reservation": "reserved"}, "order paid: its reservation is neither sold nor released"),
        ("paid", {"reservation": "released"}, "order paid: it is approved, and its reservation released"),
        ("waived", {"reservation": None}, "order waived: it is approved, and its reservation None"),
        ("paid", {"payment": "charged"}, "order paid: its charge is neither settled nor given back"),
        ("paid", {"delivered": False}, "order paid: it is approved, and not delivered"),
        ("paid", {"charged": 600}, "order paid: it is approved for 300, and 600 was charged"),
        ("paid", {"charged": 0}, "order paid: it is approved for 300, and 0 was charged"),
        ("paid", {"refunded": 300}, "order paid: it is approved for 300, and 0 was charged"),
        ("waived", {"charged": 50}, "order waived: it is approved for 0, and 50 was charged"),
        ("failed", {"refunded": 0}, "order failed: it is canceled, and 300 was charged"),
        ("failed", {"reservation": "sold"}, "order failed: it is canceled, and sold"),
        ("failed", {"payment": "settled"}, "order failed: it is canceled, and its charge settled"),
        ("failed", {"delivered": True}, "order failed: it is canceled, and delivered"),
    ],
)
def test_an_order_that_does_not_agree_is_named(orderid: str, change: dict, found: str):
    books = agreeing()
    for name, value in change.items():
        setattr(books.orders[orderid], name, value)

    assert found in problems(books)


def test_money_that_is_nobodys_is_found():
    books = agreeing()
    books.orders["paid"].charged = 500

    assert "500 was charged for approved orders of 300" in problems(books)


@pytest.mark.parametrize(
    ("shard", "found"),
    [
        (Shard(5, sold=6), "item blue: 20 pieces were put in, 21 are accounted for"),
        (Shard(3, sold=6), "item blue: 20 pieces were put in, 19 are accounted for"),
        (Shard(5, sold=5), "item blue: shard 0 has 5 pieces sold, orders have 6"),
        (Shard(3, reserved=1, sold=6), "item blue: shard 0 has 1 pieces reserved, orders have 0"),
        (Shard(-2, sold=12), "item blue: shard 0 has less than nothing"),
    ],
)
def test_pieces_that_do_not_add_up_are_found(shard: Shard, found: str):
    books = agreeing()
    books.shards["blue", 0] = shard

    assert found in problems(books)


def test_an_event_that_waits_is_found():
    books = agreeing()
    books.outboxes["stock"] = 2

    assert problems(books) == ["outbox of stock: 2 events wait"]


async def test_reading_changes_nothing():
    tables = MemoryTables()
    await tables.commit([Insert(Key("StockPublishEvent", "e"), {"due": "00:0"})])
    before = copy.copy(tables.rows)

    books = await read_books(tables)

    assert books.outboxes == {"stock": 1}
    assert tables.rows == before
