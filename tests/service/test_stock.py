"""The gRPC service Stock: its answers and errors."""

from rpc import stock_pb2 as pb
from tests.service.rejections import FAILED_PRECONDITION, all_rejected, rejection
from tests.support.suite import Suite

REJECTED = [
    ("GetItem", pb.GetItemRequest(itemid=""), "itemid"),
    ("GetItem", pb.GetItemRequest(itemid="purple"), "unknown-item"),
    ("ListItems", pb.ListItemsRequest(page_size=101), "page_size"),
    ("ListItems", pb.ListItemsRequest(page_size=-1), "page_size"),
    ("ListItems", pb.ListItemsRequest(page_token="\n"), "page_token"),
    ("PutItem", pb.PutItemRequest(itemid="a b"), "itemid"),
    ("PutItem", pb.PutItemRequest(itemid="x", price=-1), "price"),
    ("PutItem", pb.PutItemRequest(itemid="x", price=50_000_001), "price"),
    ("PutItem", pb.PutItemRequest(itemid="x", stock=2**40), "stock"),
    ("PutItem", pb.PutItemRequest(itemid="x", stock=-1), "stock"),
    ("PutItem", pb.PutItemRequest(itemid="x", shards=9), "shards"),
    ("PutItem", pb.PutItemRequest(itemid="x", shards=-1), "shards"),
    ("GetReservation", pb.GetReservationRequest(), "orderid"),
    ("GetReservation", pb.GetReservationRequest(orderid="a/b"), "orderid"),
    ("GetReservation", pb.GetReservationRequest(orderid="none"), "unknown-order"),
]


async def test_invalid_and_unknown_requests_are_rejected_by_name(suite: Suite):
    await all_rejected(suite.stock, REJECTED)


async def put(suite: Suite, itemid: str, **facts) -> pb.Item:
    return (await suite.stock.PutItem(pb.PutItemRequest(itemid=itemid, **facts))).item


async def test_seeding_leaves_existing_items_unchanged(suite: Suite):
    await put(suite, "blue", price=7, stock=5)

    item = await put(suite, "blue", price=100, stock=100_000, only_if_absent=True)

    assert (item.price, item.stock) == (7, 5)


async def test_sold_reservation_keeps_its_price_and_limits_the_stock(suite: Suite):
    ticket = await suite.order("c", blue=3)
    await suite.ticket_becomes(ticket.orderid, "approved")

    too_few = await rejection(put(suite, "blue", price=999, stock=2))
    enough = await put(suite, "blue", price=999, stock=3)

    assert too_few == (FAILED_PRECONDITION, "stock-below-taken", [])
    assert enough.available == 0
    await suite.balances()
    reservation = await suite.reservation(ticket.orderid)
    assert (reservation.status, reservation.amount, reservation.items[0].count) == ("sold", 300, 3)
    assert reservation.time < reservation.settled_time


async def test_item_split_into_shards_adds_up(suite: Suite):
    one = await put(suite, "green", price=1, stock=10)
    eight = await put(suite, "green", price=1, stock=11, shards=8)
    unchanged = await put(suite, "green", price=2, stock=11)

    assert [item.shards for item in (one, eight, unchanged)] == [1, 8, 8]
    assert (eight.available, eight.stock) == (11, 11)
    fewer = await rejection(put(suite, "green", price=1, stock=11, shards=7))
    assert fewer == (FAILED_PRECONDITION, "shards-only-grow", [])
    ticket = await suite.order("c", green=11)
    await suite.ticket_becomes(ticket.orderid, "approved")
    await suite.balances()
    assert (await suite.item("green")).sold == 11


async def test_reservation_shows_a_rejection_and_a_payment_waiver(suite: Suite):
    rejected, waived = await suite.order("c", yellow=1), await suite.order("d", red=1)
    await suite.ticket_becomes(rejected.orderid, "reserve-failed")
    await suite.ticket_becomes(waived.orderid, "approved")

    no, yes = await suite.reservation(rejected.orderid), await suite.reservation(waived.orderid)

    assert (no.status, no.reason, no.HasField("amount")) == ("refused", "sold-out: yellow", False)
    assert (yes.waives_payment, no.waives_payment) == (True, False)
    assert not no.HasField("settled_time")
