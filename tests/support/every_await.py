"""The shop's reactions and commands, and what must be left by each, whatever fails on the way."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from contract.tickets import (
    APPROVED,
    CANCELED,
    DELIVERY_ARRANGED,
    PAID,
    PAYMENT_FAILED,
    PRE_APPROVED,
    RESERVE_FAILED,
    RESERVED,
    CartItem,
    TicketMessage,
)
from contract.topology import TOPOLOGY
from rpc import purchase_pb2 as pb
from rpc.stock_pb2 import PutItemRequest
from sagakit.events import Event
from sagakit.testing import Act, Check, Left, ServiceProcess
from services.delivery.storage import DELIVERY
from services.payment.charge import CANCELED as REFUNDED
from services.payment.charge import CHARGED, DECLINED, SETTLED
from services.payment.simulated import LEDGER
from services.payment.storage import PAYMENT
from services.purchase.storage import CART, TICKET
from services.stock.inventory import REFUSED, RELEASED, SOLD
from services.stock.inventory import RESERVED as HELD
from services.stock.storage import RESERVATION, SHARD

BLUE = (CartItem("blue", 3),)
TOO_MANY = (CartItem("blue", 11),)
TOO_MUCH = 1_000_000
UNITS = ("available", "reserved", "sold")
Command = tuple[str, Any]
"""The name of an RPC, and its request."""


def event(
    status: str,
    publisher: str = "purchase",
    items: tuple[CartItem, ...] = BLUE,
    amount: int = 300,
    orderid: str = "o",
) -> Event:
    message = TicketMessage(orderid, status, items, None if status == PRE_APPROVED else amount)
    return replace(message.to_event(f"{publisher} {status}", {}), topic=TOPOLOGY.topics[publisher])


def handles(*events: Event) -> Act:
    async def act(process: ServiceProcess) -> None:
        for each in events:
            await process.handle(each)

    return act


async def put_blue(process: ServiceProcess) -> None:
    await process.call("PutItem", PutItemRequest(itemid="blue", price=100, stock=10, shards=1))


def statuses(left: Left) -> Sequence[str]:
    return [TicketMessage.from_event(each).status for each in left.published]


def delivery_is_arranged(left: Left) -> None:
    assert list(left.entities(DELIVERY)) == ["o"]
    assert statuses(left) == [DELIVERY_ARRANGED]


def payment_is(status: str, refunded: int = 0, charged: int = 300, reply: str = PAID) -> Check:
    def check(left: Left) -> None:
        assert left.entities(PAYMENT)["o"]["status"] == status
        entry = left.entities(LEDGER)["o"]
        assert (entry["charged"], entry["refunded"]) == (charged, refunded)
        assert statuses(left) == [reply]

    return check


def stock_is(status: str, *units: int, replies: Sequence[str] = (RESERVED,)) -> Check:
    def check(left: Left) -> None:
        assert left.entities(RESERVATION)["o"]["status"] == status
        (shard,) = left.entities(SHARD).values()
        assert tuple(shard[each] for each in UNITS) == units
        assert statuses(left) == list(replies)

    return check


def blue_is_for_sale(left: Left) -> None:
    (shard,) = left.entities(SHARD).values()
    assert tuple(shard[each] for each in UNITS) == (10, 0, 0)


CHARGES, ORDERED = event(RESERVED, "stock"), event(PRE_APPROVED)
REFUNDS = ((CANCELED, "purchase"), (PAYMENT_FAILED, "purchase"), (RESERVE_FAILED, "stock"))


async def in_stock(process: ServiceProcess) -> None:
    await put_blue(process)
    await process.handle(ORDERED)


def calls(*commands: Command) -> Act:
    async def act(process: ServiceProcess) -> None:
        for method, request in commands:
            await process.call(method, request)

    return act


CREATE = ("CreateCart", pb.CreateCartRequest(cartid="c", commandid="create"))
ADD = ("AddItem", pb.AddItemRequest(cartid="c", itemid="blue", count=3, commandid="add"))
SET = ("SetItem", pb.SetItemRequest(cartid="c", itemid="blue", count=3, commandid="set"))
REMOVE = ("RemoveItem", pb.RemoveItemRequest(cartid="c", itemid="blue", commandid="remove"))
CLOSE = ("CloseCart", pb.CloseCartRequest(cartid="c", commandid="close"))
CHECKOUT = ("Checkout", pb.CheckoutRequest(cartid="c", commandid="checkout"))
ordered = calls(CREATE, ADD, CLOSE, CHECKOUT)


def one_order_is_open(left: Left) -> None:
    assert Counter(each["status"] for each in left.entities(TICKET).values()) == {PRE_APPROVED: 1}
    assert statuses(left) == [PRE_APPROVED]


async def ordered_id(process: ServiceProcess) -> str:
    """Return the order's id, which a repeated checkout tells."""
    return (await process.call(*CHECKOUT)).order_ticket.orderid


async def cancels(process: ServiceProcess) -> None:
    request = pb.CancelOrderRequest(orderid=await ordered_id(process), commandid="cancel")
    response = await process.call("CancelOrder", request)
    assert response.order_ticket.status == CANCELED


def reports(status: str, publisher: str) -> Act:
    async def act(process: ServiceProcess) -> None:
        await process.handle(event(status, publisher, orderid=await ordered_id(process)))

    return act


async def paid(process: ServiceProcess) -> None:
    await ordered(process)
    await reports(PAID, "payment")(process)


def order_has(*history: str, published: Sequence[str] = (PRE_APPROVED,)) -> Check:
    def check(left: Left) -> None:
        (ticket,) = left.entities(TICKET).values()
        assert [entry["status"] for entry in ticket["history"]] == [PRE_APPROVED, *history]
        assert statuses(left) == list(published)

    return check


def cart_is(*items: tuple[str, int], status: str = "open") -> Check:
    def check(left: Left) -> None:
        cart = left.entities(CART)["c"]
        assert [(each["itemid"], each["count"]) for each in cart["items"]] == list(items)
        assert cart["status"] == status

    return check


CASES: dict[str, tuple[str, Act, Check, Act | None]] = {
    "delivery receives approved": ("delivery", handles(event(APPROVED)), delivery_is_arranged, None),
    "payment receives reserved": ("payment", handles(CHARGES), payment_is(CHARGED), None),
    "payment receives reserved: declines": (
        "payment",
        handles(event(RESERVED, "stock", amount=TOO_MUCH)),
        payment_is(DECLINED, charged=0, reply=PAYMENT_FAILED),
        None,
    ),
    "payment receives approved": (
        "payment",
        handles(event(APPROVED)),
        payment_is(SETTLED),
        handles(CHARGES),
    ),
    **{
        f"payment receives {status}": (
            "payment",
            handles(event(status, publisher)),
            payment_is(REFUNDED, 300),
            handles(CHARGES),
        )
        for status, publisher in REFUNDS
    },
    "stock receives pre-approved": ("stock", handles(ORDERED), stock_is(HELD, 7, 3, 0), put_blue),
    "stock receives pre-approved: sold out": (
        "stock",
        handles(event(PRE_APPROVED, items=TOO_MANY)),
        stock_is(REFUSED, 10, 0, 0, replies=[RESERVE_FAILED]),
        put_blue,
    ),
    "stock receives approved": ("stock", handles(event(APPROVED)), stock_is(SOLD, 7, 0, 3), in_stock),
    **{
        f"stock receives {status}": (
            "stock",
            handles(event(status)),
            stock_is(RELEASED, 10, 0, 0),
            in_stock,
        )
        for status in (CANCELED, PAYMENT_FAILED, RESERVE_FAILED)
    },
    "purchase receives reserved": ("purchase", reports(RESERVED, "stock"), order_has(RESERVED), ordered),
    "purchase receives reserve-failed": (
        "purchase",
        reports(RESERVE_FAILED, "stock"),
        order_has(RESERVE_FAILED),
        ordered,
    ),
    "purchase receives paid": (
        "purchase",
        reports(PAID, "payment"),
        order_has(APPROVED, published=[PRE_APPROVED, APPROVED]),
        ordered,
    ),
    "purchase receives payment-failed": (
        "purchase",
        reports(PAYMENT_FAILED, "payment"),
        order_has(PAYMENT_FAILED, published=[PRE_APPROVED, PAYMENT_FAILED]),
        ordered,
    ),
    "purchase receives delivery-arranged": (
        "purchase",
        reports(DELIVERY_ARRANGED, "delivery"),
        order_has(APPROVED, DELIVERY_ARRANGED, published=[PRE_APPROVED, APPROVED]),
        paid,
    ),
    "PutItem": ("stock", put_blue, blue_is_for_sale, None),
    "CreateCart": ("purchase", calls(CREATE), cart_is(), None),
    "AddItem": ("purchase", calls(ADD), cart_is(("blue", 3)), calls(CREATE)),
    "SetItem": ("purchase", calls(SET), cart_is(("blue", 3)), calls(CREATE)),
    "RemoveItem": ("purchase", calls(REMOVE), cart_is(), calls(CREATE, ADD)),
    "CloseCart": ("purchase", calls(CLOSE), cart_is(("blue", 3), status="closed"), calls(CREATE, ADD)),
    "Checkout": ("purchase", calls(CHECKOUT), one_order_is_open, calls(CREATE, ADD, CLOSE)),
    "CancelOrder": (
        "purchase",
        cancels,
        order_has(CANCELED, published=[PRE_APPROVED, CANCELED]),
        ordered,
    ),
}


SEQUENCES: dict[str, tuple[str, list[Event], Check, Act | None]] = {
    "delivery": ("delivery", [event(APPROVED)], delivery_is_arranged, None),
    "charged and settled": ("payment", [CHARGES, event(APPROVED)], payment_is(SETTLED), None),
    "charged and refunded": ("payment", [CHARGES, event(CANCELED)], payment_is(REFUNDED, 300), None),
    "reserved and sold": ("stock", [ORDERED, event(APPROVED)], stock_is(SOLD, 7, 0, 3), put_blue),
    "reserved and released": ("stock", [ORDERED, event(CANCELED)], stock_is(RELEASED, 10, 0, 0), put_blue),
    "released before": (
        "stock",
        [event(CANCELED), ORDERED],
        stock_is(RELEASED, 10, 0, 0, replies=()),
        put_blue,
    ),
}
