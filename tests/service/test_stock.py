"""The stock service by gRPC: what its calls answer and what they refuse."""

import asyncio

import grpc
import pytest

from rpc import stock_pb2 as pb
from tests.support.suite import Suite


async def put(suite: Suite, itemid: str, **facts) -> pb.Item:
    return (await suite.stock.PutItem(pb.PutItemRequest(itemid=itemid, **facts))).item


async def code_of(call) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value.code()


async def test_the_catalogue_to_begin_with_is_the_one_of_the_readme(suite: Suite):
    items = (await suite.stock.ListItems(pb.ListItemsRequest())).items

    assert [(item.itemid, item.price, item.stock, item.waives_payment) for item in items] == [
        ("blue", 100, 100_000, False),
        ("gold", 1_000_000, 10, False),
        ("red", 50, 100_000, True),
        ("yellow", 100, 0, False),
    ]


async def test_seeding_leaves_an_item_as_it_is(suite: Suite):
    await put(suite, "blue", price=7, stock=5)

    item = await put(suite, "blue", price=100, stock=100_000, only_if_absent=True)

    assert (item.price, item.stock) == (7, 5)


async def test_items_are_listed_a_page_at_a_time_each_once(suite: Suite):
    await asyncio.gather(*(put(suite, f"item-{n:03}", price=1, stock=1) for n in range(30)))

    seen, token = [], ""
    while True:
        page = await suite.stock.ListItems(pb.ListItemsRequest(page_size=7, page_token=token))
        seen += [item.itemid for item in page.items]
        token = page.next_page_token
        if not token:
            break

    assert seen == sorted(seen)
    assert len(seen) == len(set(seen)) == 34


async def test_stock_cannot_go_below_what_orders_have_of_it(suite: Suite):
    ticket = await suite.order("c", blue=3)
    await suite.ticket_becomes(ticket.orderid, "approved")

    code = await code_of(put(suite, "blue", price=100, stock=2))

    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert (await put(suite, "blue", price=100, stock=3)).available == 0


async def test_a_reservation_keeps_the_price_of_its_time(suite: Suite):
    ticket = await suite.order("c", blue=3)
    await suite.ticket_becomes(ticket.orderid, "approved")
    await put(suite, "blue", price=999, stock=100_000)

    await suite.balances()
    reservation = await suite.reservation(ticket.orderid)
    assert (reservation.status, reservation.amount, reservation.items[0].count) == ("sold", 300, 3)
    assert reservation.time < reservation.settled_time


async def test_an_item_is_split_into_shards_and_adds_up(suite: Suite):
    one = await put(suite, "green", price=1, stock=10)
    eight = await put(suite, "green", price=1, stock=11, shards=8)
    unasked = await put(suite, "green", price=2, stock=11)

    assert [item.shards for item in (one, eight, unasked)] == [1, 8, 8]
    assert (eight.available, eight.stock) == (11, 11)
    with pytest.raises(grpc.aio.AioRpcError, match="green is split into 8 shards already") as fewer:
        await put(suite, "green", price=1, stock=11, shards=7)
    assert fewer.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    ticket = await suite.order("c", green=11)
    await suite.ticket_becomes(ticket.orderid, "approved")
    await suite.balances()
    assert (await suite.item("green")).sold == 11


async def test_a_reservation_that_was_refused_says_why_and_one_that_waives_payment_says_so(suite: Suite):
    refused, waived = await suite.order("c", yellow=1), await suite.order("d", red=1)
    await suite.ticket_becomes(refused.orderid, "reserve-failed")
    await suite.ticket_becomes(waived.orderid, "approved")

    no, yes = await suite.reservation(refused.orderid), await suite.reservation(waived.orderid)

    assert (no.status, no.reason, no.HasField("amount")) == ("refused", "sold-out: yellow", False)
    assert (yes.waives_payment, no.waives_payment) == (True, False)
    assert not no.HasField("settled_time")


@pytest.mark.parametrize(
    ("method", "request_", "code"),
    [
        ("GetItem", pb.GetItemRequest(itemid=""), grpc.StatusCode.INVALID_ARGUMENT),
        ("GetItem", pb.GetItemRequest(itemid="purple"), grpc.StatusCode.NOT_FOUND),
        ("ListItems", pb.ListItemsRequest(page_size=101), grpc.StatusCode.INVALID_ARGUMENT),
        ("ListItems", pb.ListItemsRequest(page_size=-1), grpc.StatusCode.INVALID_ARGUMENT),
        ("ListItems", pb.ListItemsRequest(page_token="\n"), grpc.StatusCode.INVALID_ARGUMENT),
        ("PutItem", pb.PutItemRequest(itemid="a b"), grpc.StatusCode.INVALID_ARGUMENT),
        ("PutItem", pb.PutItemRequest(itemid="x", price=-1), grpc.StatusCode.INVALID_ARGUMENT),
        ("PutItem", pb.PutItemRequest(itemid="x", stock=2**40), grpc.StatusCode.INVALID_ARGUMENT),
        ("PutItem", pb.PutItemRequest(itemid="x", price=50_000_001), grpc.StatusCode.INVALID_ARGUMENT),
        ("PutItem", pb.PutItemRequest(itemid="x", stock=-1), grpc.StatusCode.INVALID_ARGUMENT),
        ("PutItem", pb.PutItemRequest(itemid="x", shards=9), grpc.StatusCode.INVALID_ARGUMENT),
        ("PutItem", pb.PutItemRequest(itemid="x", shards=-1), grpc.StatusCode.INVALID_ARGUMENT),
        ("GetReservation", pb.GetReservationRequest(), grpc.StatusCode.INVALID_ARGUMENT),
        ("GetReservation", pb.GetReservationRequest(orderid="a/b"), grpc.StatusCode.INVALID_ARGUMENT),
        ("GetReservation", pb.GetReservationRequest(orderid="none"), grpc.StatusCode.NOT_FOUND),
    ],
)
async def test_what_makes_no_sense_or_is_not_there_is_refused(suite: Suite, method, request_, code):
    assert await code_of(getattr(suite.stock, method)(request_)) is code
