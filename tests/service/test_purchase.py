"""The gRPC service Purchase: its answers and errors."""

from rpc import purchase_pb2 as pb
from services.payment.simulated import FaultSettings, save_faults
from tests.service.rejections import all_rejected
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
