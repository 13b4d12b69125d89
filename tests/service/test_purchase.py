"""The gRPC service Purchase: its answers and errors."""

from rpc import purchase_pb2 as pb
from services.payment.simulated import FaultSettings, save_faults
from tests.service.rejections import FAILED_PRECONDITION, all_rejected, rejection
from tests.support.suite import Suite

INVALID = [
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
UNKNOWN = [
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
]


async def test_invalid_and_unknown_ids_are_rejected_by_name(suite: Suite):
    await all_rejected(suite.purchase, [*INVALID, *UNKNOWN])


async def a_cart(suite: Suite, cartid: str, *itemids: str) -> None:
    await suite.purchase.CreateCart(pb.CreateCartRequest(cartid=cartid))
    for itemid in itemids:
        await suite.purchase.AddItem(pb.AddItemRequest(cartid=cartid, itemid=itemid, count=1))


async def test_items_are_removed_and_keep_their_order(suite: Suite):
    await a_cart(suite, "c", "blue", "red", "gold")

    removed = await suite.purchase.RemoveItem(pb.RemoveItemRequest(cartid="c", itemid="red"))
    repeated = await suite.purchase.RemoveItem(pb.RemoveItemRequest(cartid="c", itemid="red"))
    contents = await suite.purchase.GetCartContents(pb.GetCartContentsRequest(cartid="c"))

    assert [item.itemid for item in removed.cart_items] == ["blue", "gold"]
    assert list(removed.cart_items) == list(repeated.cart_items) == list(contents.cart_items)


async def test_rejected_call_leaves_the_cart_unchanged(suite: Suite):
    await a_cart(suite, "closed", "blue")
    await suite.purchase.CloseCart(pb.CloseCartRequest(cartid="closed"))
    await a_cart(suite, "open", "blue")

    removed = await rejection(suite.purchase.RemoveItem(pb.RemoveItemRequest(cartid="closed", itemid="blue")))
    checked_out = await rejection(suite.purchase.Checkout(pb.CheckoutRequest(cartid="open")))

    assert removed == (FAILED_PRECONDITION, "cart-not-open", [])
    assert checked_out == (FAILED_PRECONDITION, "cart-not-closed", [])
    for cartid in ("closed", "open"):
        cart = (await suite.purchase.GetCart(pb.GetCartRequest(cartid=cartid))).cart
        assert (cart.status, [item.itemid for item in cart.cart_items]) == (cartid, ["blue"])


async def test_ids_that_datastore_reserves_are_valid(suite: Suite):
    await a_cart(suite, "__cart__", "__item__")

    contents = await suite.purchase.GetCartContents(pb.GetCartContentsRequest(cartid="__cart__"))

    assert [item.itemid for item in contents.cart_items] == ["__item__"]


async def cancel(suite: Suite, orderid: str) -> pb.OrderTicket:
    return (await suite.purchase.CancelOrder(pb.CancelOrderRequest(orderid=orderid))).order_ticket


async def history(suite: Suite, orderid: str) -> list[tuple[str, str, bool]]:
    """Return the entries, checking their order: status, cause, and whether an event reported it."""
    answer = await suite.purchase.GetOrderHistory(pb.GetOrderHistoryRequest(orderid=orderid))
    assert answer.orderid == orderid
    times = [entry.time for entry in answer.history]
    assert times == sorted(times)
    eventids = [entry.eventid for entry in answer.history if entry.HasField("eventid")]
    assert len(set(eventids)) == len(eventids)
    return [(entry.status, entry.cause, entry.HasField("eventid")) for entry in answer.history]


async def test_reserved_order_can_be_canceled_repeatedly(suite: Suite):
    await save_faults(suite.backend.tables, FaultSettings(unavailable=True))
    ticket = await suite.order("c", blue=3)
    await suite.ticket_becomes(ticket.orderid, "reserved")

    canceled = await cancel(suite, ticket.orderid)

    assert (canceled.status, canceled.reason, canceled.amount) == ("canceled", "client", 300)
    assert await cancel(suite, ticket.orderid) == canceled == await suite.ticket(ticket.orderid)
    assert await history(suite, ticket.orderid) == [
        ("pre-approved", "checkout", False),
        ("reserved", "reserved", True),
        ("canceled", "client", False),
    ]


async def test_failed_order_cannot_be_canceled(suite: Suite):
    ticket = await suite.order("c", yellow=1)
    failed = await suite.ticket_becomes(ticket.orderid, "reserve-failed")

    assert await rejection(cancel(suite, ticket.orderid)) == (FAILED_PRECONDITION, "order-ended", [])
    assert await suite.ticket(ticket.orderid) == failed
    assert await history(suite, ticket.orderid) == [
        ("pre-approved", "checkout", False),
        ("reserve-failed", "reserve-failed", True),
    ]


async def test_approved_order_cannot_be_canceled_and_records_its_delivery(suite: Suite):
    ticket = await suite.order("c", red=3)
    approved = await suite.ticket_becomes(ticket.orderid, "approved")

    assert await rejection(cancel(suite, ticket.orderid)) == (FAILED_PRECONDITION, "order-ended", [])
    assert await suite.ticket(ticket.orderid) == approved
    await suite.balances()
    assert await history(suite, ticket.orderid) == [
        ("pre-approved", "checkout", False),
        ("approved", "paid", True),
        ("delivery-arranged", "delivery-arranged", True),
    ]
