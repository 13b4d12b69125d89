"""The purchase service by gRPC: what its calls answer and what they refuse."""

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from rpc import purchase_pb2 as pb
from services.payment.simulated import FaultSettings, save_faults
from tests.support.suite import Suite


async def refusal(call) -> tuple[grpc.StatusCode, str, list[str]]:
    """The code, the reason and the fields at fault of a call that is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    metadata = dict(refused.value.trailing_metadata())
    for detail in status_pb2.Status.FromString(metadata["grpc-status-details-bin"]).details:
        _ = detail.Unpack(info) or detail.Unpack(bad)
    return refused.value.code(), info.reason, [violation.field for violation in bad.field_violations]


async def a_cart(suite: Suite, cartid: str = "c", *itemids: str) -> None:
    await suite.purchase.CreateCart(pb.CreateCartRequest(cartid=cartid))
    for itemid in itemids:
        await suite.purchase.AddItem(pb.AddItemRequest(cartid=cartid, itemid=itemid, count=1))


MALFORMED = [
    ("CreateCart", pb.CreateCartRequest(cartid=""), "cartid"),
    ("CreateCart", pb.CreateCartRequest(cartid="a b"), "cartid"),
    ("CreateCart", pb.CreateCartRequest(cartid="x" * 129), "cartid"),
    ("CreateCart", pb.CreateCartRequest(cartid="line\n"), "cartid"),
    ("GetCart", pb.GetCartRequest(cartid="/"), "cartid"),
    ("AddItem", pb.AddItemRequest(cartid="c", itemid="ü", count=1), "itemid"),
    ("AddItem", pb.AddItemRequest(cartid="c", itemid="blue", count=0), "count"),
    ("AddItem", pb.AddItemRequest(cartid="c", itemid="blue", count=-1), "count"),
    ("AddItem", pb.AddItemRequest(cartid="c", itemid="blue", count=1_000_001), "count"),
    ("AddItem", pb.AddItemRequest(cartid="c", itemid="blue", count=1, commandid="?"), "commandid"),
    ("CreateCart", pb.CreateCartRequest(cartid="c", commandid="?"), "commandid"),
    ("SetItem", pb.SetItemRequest(cartid="", itemid="blue", count=1), "cartid"),
    ("SetItem", pb.SetItemRequest(cartid="c", itemid=".:", count=1), "itemid"),
    ("SetItem", pb.SetItemRequest(cartid="c", itemid="blue", count=0), "count"),
    ("SetItem", pb.SetItemRequest(cartid="c", itemid="blue", count=1, commandid="?"), "commandid"),
    ("RemoveItem", pb.RemoveItemRequest(cartid="c", itemid=""), "itemid"),
    ("RemoveItem", pb.RemoveItemRequest(cartid="c", itemid="blue", commandid="?"), "commandid"),
    ("CloseCart", pb.CloseCartRequest(cartid="c", commandid="?"), "commandid"),
    ("Checkout", pb.CheckoutRequest(cartid="c", commandid="?"), "commandid"),
    ("CancelOrder", pb.CancelOrderRequest(orderid="o", commandid="?"), "commandid"),
    ("GetCartContents", pb.GetCartContentsRequest(), "cartid"),
    ("CloseCart", pb.CloseCartRequest(), "cartid"),
    ("Checkout", pb.CheckoutRequest(), "cartid"),
    ("GetOrderTicket", pb.GetOrderTicketRequest(orderid="*"), "orderid"),
    ("CancelOrder", pb.CancelOrderRequest(), "orderid"),
    ("GetOrderHistory", pb.GetOrderHistoryRequest(orderid="a b"), "orderid"),
]


@pytest.mark.parametrize(("method", "request_", "field"), MALFORMED)
async def test_a_malformed_request_is_refused_naming_the_field(suite: Suite, method, request_, field):
    answer = await refusal(getattr(suite.purchase, method)(request_))

    assert answer == (grpc.StatusCode.INVALID_ARGUMENT, "invalid-argument", [field])


@pytest.mark.parametrize(
    ("method", "request_", "reason"),
    [
        ("GetCart", pb.GetCartRequest(cartid="none"), "unknown-cart"),
        ("AddItem", pb.AddItemRequest(cartid="none", itemid="blue", count=1, commandid="x"), "unknown-cart"),
        ("SetItem", pb.SetItemRequest(cartid="none", itemid="blue", count=1), "unknown-cart"),
        ("RemoveItem", pb.RemoveItemRequest(cartid="none", itemid="blue"), "unknown-cart"),
        ("GetCartContents", pb.GetCartContentsRequest(cartid="none"), "unknown-cart"),
        ("CloseCart", pb.CloseCartRequest(cartid="none"), "unknown-cart"),
        ("Checkout", pb.CheckoutRequest(cartid="none"), "unknown-cart"),
        ("GetOrderTicket", pb.GetOrderTicketRequest(orderid="none"), "unknown-order"),
        ("CancelOrder", pb.CancelOrderRequest(orderid="none"), "unknown-order"),
        ("GetOrderHistory", pb.GetOrderHistoryRequest(orderid="none"), "unknown-order"),
    ],
)
async def test_what_is_not_there_is_not_found(suite: Suite, method, request_, reason):
    answer = await refusal(getattr(suite.purchase, method)(request_))

    assert answer == (grpc.StatusCode.NOT_FOUND, reason, [])


async def test_a_cart_is_filled_and_emptied_in_the_order_of_its_items(suite: Suite):
    await a_cart(suite, "c", "blue", "red", "gold")

    removed = await suite.purchase.RemoveItem(pb.RemoveItemRequest(cartid="c", itemid="red"))
    again = await suite.purchase.RemoveItem(pb.RemoveItemRequest(cartid="c", itemid="red"))
    contents = await suite.purchase.GetCartContents(pb.GetCartContentsRequest(cartid="c"))

    assert [item.itemid for item in removed.cart_items] == ["blue", "gold"]
    assert list(removed.cart_items) == list(again.cart_items) == list(contents.cart_items)


async def test_a_cart_holds_a_hundred_different_items(suite: Suite):
    await a_cart(suite, "c", *(f"i{n}" for n in range(100)))

    answer = await refusal(suite.purchase.AddItem(pb.AddItemRequest(cartid="c", itemid="more", count=1)))

    assert answer == (grpc.StatusCode.INVALID_ARGUMENT, "invalid-argument", ["itemid"])


async def test_a_closed_cart_refuses_changes_and_stays_as_it_is(suite: Suite):
    await a_cart(suite, "c", "blue")
    await suite.purchase.CloseCart(pb.CloseCartRequest(cartid="c"))

    added = await refusal(suite.purchase.AddItem(pb.AddItemRequest(cartid="c", itemid="red", count=1)))
    removed = await refusal(suite.purchase.RemoveItem(pb.RemoveItemRequest(cartid="c", itemid="blue")))

    assert added == removed == (grpc.StatusCode.FAILED_PRECONDITION, "cart-not-open", [])
    contents = await suite.purchase.GetCartContents(pb.GetCartContentsRequest(cartid="c"))
    assert [item.itemid for item in contents.cart_items] == ["blue"]


async def test_an_open_and_an_empty_cart_cannot_be_checked_out(suite: Suite):
    await a_cart(suite, "open", "blue")
    await a_cart(suite, "empty")
    await suite.purchase.CloseCart(pb.CloseCartRequest(cartid="empty"))

    still_open = await refusal(suite.purchase.Checkout(pb.CheckoutRequest(cartid="open")))
    empty = await refusal(suite.purchase.Checkout(pb.CheckoutRequest(cartid="empty")))

    assert still_open == (grpc.StatusCode.FAILED_PRECONDITION, "cart-not-closed", [])
    assert empty == (grpc.StatusCode.FAILED_PRECONDITION, "cart-empty", [])
    for cartid, status in (("open", "open"), ("empty", "closed")):
        cart = (await suite.purchase.GetCart(pb.GetCartRequest(cartid=cartid))).cart
        assert cart.status == status


async def test_ids_that_datastore_reserves_are_ids_like_any_other(suite: Suite):
    await a_cart(suite, "__cart__", "__item__")

    contents = await suite.purchase.GetCartContents(pb.GetCartContentsRequest(cartid="__cart__"))

    assert [item.itemid for item in contents.cart_items] == ["__item__"]


async def test_the_history_of_an_order_says_when_and_why(suite: Suite):
    ticket = await suite.order("c", yellow=1)
    await suite.ticket_becomes(ticket.orderid, "reserve-failed")

    request = pb.GetOrderHistoryRequest(orderid=ticket.orderid)
    opened, failed = (await suite.purchase.GetOrderHistory(request)).history

    assert (opened.status, opened.cause, opened.HasField("eventid")) == ("pre-approved", "checkout", False)
    assert (failed.status, failed.cause, failed.HasField("eventid")) == (
        "reserve-failed",
        "reserve-failed",
        True,
    )
    assert opened.time < failed.time


async def test_an_order_that_has_failed_cannot_be_canceled(suite: Suite):
    ticket = await suite.order("c", yellow=1)
    await suite.ticket_becomes(ticket.orderid, "reserve-failed")

    answer = await refusal(suite.purchase.CancelOrder(pb.CancelOrderRequest(orderid=ticket.orderid)))

    assert answer == (grpc.StatusCode.FAILED_PRECONDITION, "order-ended", [])


async def cancel(suite: Suite, orderid: str) -> pb.OrderTicket:
    return (await suite.purchase.CancelOrder(pb.CancelOrderRequest(orderid=orderid))).order_ticket


async def test_an_order_can_be_canceled_until_it_is_approved_and_again_and_again(suite: Suite):
    await save_faults(suite.backend.tables, FaultSettings(unavailable=True))
    ticket = await suite.order("c", blue=3)
    await suite.ticket_becomes(ticket.orderid, "reserved")

    canceled = await cancel(suite, ticket.orderid)

    assert (canceled.status, canceled.reason, canceled.amount) == ("canceled", "client", 300)
    assert await cancel(suite, ticket.orderid) == canceled == await suite.ticket(ticket.orderid)
    request = pb.GetOrderHistoryRequest(orderid=ticket.orderid)
    history = (await suite.purchase.GetOrderHistory(request)).history
    assert [(move.status, move.cause, move.HasField("eventid")) for move in history] == [
        ("pre-approved", "checkout", False),
        ("reserved", "reserved", True),
        ("canceled", "client", False),
    ]


async def test_an_approved_order_cannot_be_canceled_and_says_that_it_is_approved(suite: Suite):
    ticket = await suite.order("c", red=3)
    approved = await suite.ticket_becomes(ticket.orderid, "approved")

    with pytest.raises(grpc.aio.AioRpcError, match="the order is approved") as refused:
        await cancel(suite, ticket.orderid)

    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert await suite.ticket(ticket.orderid) == approved


async def test_the_history_of_an_approved_order_ends_with_its_delivery_and_names_its_events(suite: Suite):
    ticket = await suite.order("c", red=1)
    await suite.ticket_becomes(ticket.orderid, "approved")
    await suite.balances()

    request = pb.GetOrderHistoryRequest(orderid=ticket.orderid)
    answer = await suite.purchase.GetOrderHistory(request)

    assert answer.orderid == ticket.orderid
    assert [(move.status, move.cause) for move in answer.history] == [
        ("pre-approved", "checkout"),
        ("approved", "paid"),
        ("delivery-arranged", "delivery-arranged"),
    ]
    assert len({move.eventid for move in answer.history}) == 3
    times = [move.time for move in answer.history]
    assert times == sorted(times)
