"""The shop's reactions and RPCs with every fault at every await, and with each delivery repeated."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from contract.tickets import (
    APPROVED,
    CANCELED,
    DELIVERY_ARRANGED,
    PAID,
    PRE_APPROVED,
    RESERVED,
    CartItem,
    TicketMessage,
)
from contract.topology import TOPOLOGY
from rpc import purchase_pb2 as pb
from rpc.stock_pb2 import PutItemRequest
from sagakit.events import Event
from sagakit.testing import (
    Fault,
    Left,
    ServiceProcess,
    ServiceUnderTest,
    each_await_fails,
    each_delivery_twice,
)
from sagakit.testing.enumerated import Act, Check
from services.delivery.storage import DELIVERY
from services.payment.charge import CANCELED as REFUNDED
from services.payment.charge import CHARGED, SETTLED
from services.payment.simulated import LEDGER
from services.payment.storage import PAYMENT
from services.purchase.storage import CART, TICKET
from services.stock.inventory import RELEASED, SOLD
from services.stock.inventory import RESERVED as HELD
from services.stock.storage import RESERVATION, SHARD
from tests.simulation.planted_bugs import BUGS
from tests.support.suite import BUILDERS

BLUE = (CartItem("blue", 3),)
UNITS = ("available", "reserved", "sold")


def service(name: str) -> ServiceUnderTest:
    return ServiceUnderTest(TOPOLOGY, name, BUILDERS[name])


def event(status: str, publisher: str = "purchase") -> Event:
    message = TicketMessage("o", status, BLUE, None if status == PRE_APPROVED else 300)
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


def payment_is(status: str, refunded: int = 0) -> Check:
    def check(left: Left) -> None:
        assert left.entities(PAYMENT)["o"]["status"] == status
        entry = left.entities(LEDGER)["o"]
        assert (entry["charged"], entry["refunded"]) == (300, refunded)
        assert statuses(left) == [PAID]

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


async def in_stock(process: ServiceProcess) -> None:
    await put_blue(process)
    await process.handle(ORDERED)


async def filled(process: ServiceProcess) -> None:
    await process.call("CreateCart", pb.CreateCartRequest(cartid="c"))
    await process.call("AddItem", pb.AddItemRequest(cartid="c", itemid="blue", count=3, commandid="1"))
    await process.call("CloseCart", pb.CloseCartRequest(cartid="c"))


async def checks_out(process: ServiceProcess) -> None:
    await process.call("Checkout", pb.CheckoutRequest(cartid="c", commandid="2"))


async def creates_and_adds(process: ServiceProcess) -> None:
    await process.call("CreateCart", pb.CreateCartRequest(cartid="c", commandid="0"))
    await process.call("AddItem", pb.AddItemRequest(cartid="c", itemid="blue", count=3, commandid="1"))


def one_order_is_open(left: Left) -> None:
    assert Counter(each["status"] for each in left.entities(TICKET).values()) == {PRE_APPROVED: 1}
    assert statuses(left) == [PRE_APPROVED]


async def ordered(process: ServiceProcess) -> None:
    await filled(process)
    await checks_out(process)


async def cancels(process: ServiceProcess) -> None:
    # Repeated, it tells the order's id.
    checkout = await process.call("Checkout", pb.CheckoutRequest(cartid="c", commandid="2"))
    orderid = checkout.order_ticket.orderid
    response = await process.call("CancelOrder", pb.CancelOrderRequest(orderid=orderid, commandid="3"))
    assert response.order_ticket.status == CANCELED


def one_order_is_canceled(left: Left) -> None:
    assert [each["status"] for each in left.entities(TICKET).values()] == [CANCELED]
    assert statuses(left) == [PRE_APPROVED, CANCELED]


def cart_has_three_blue(left: Left) -> None:
    assert left.entities(CART)["c"]["items"] == [{"itemid": "blue", "count": 3}]


CASES: dict[str, tuple[str, Act, Check, Act | None]] = {
    "delivery arranges": ("delivery", handles(event(APPROVED)), delivery_is_arranged, None),
    "payment charges": ("payment", handles(CHARGES), payment_is(CHARGED), None),
    "payment settles": ("payment", handles(event(APPROVED)), payment_is(SETTLED), handles(CHARGES)),
    "payment refunds": ("payment", handles(event(CANCELED)), payment_is(REFUNDED, 300), handles(CHARGES)),
    "stock reserves": ("stock", handles(ORDERED), stock_is(HELD, 7, 3, 0), put_blue),
    "stock sells": ("stock", handles(event(APPROVED)), stock_is(SOLD, 7, 0, 3), in_stock),
    "stock releases": ("stock", handles(event(CANCELED)), stock_is(RELEASED, 10, 0, 0), in_stock),
    "PutItem": ("stock", put_blue, blue_is_for_sale, None),
    "CreateCart and AddItem": ("purchase", creates_and_adds, cart_has_three_blue, None),
    "Checkout": ("purchase", checks_out, one_order_is_open, filled),
    "CancelOrder": ("purchase", cancels, one_order_is_canceled, ordered),
}


@pytest.mark.parametrize("case", CASES)
async def test_every_fault_at_every_await_is_survived(case: str):
    name, act, check, prepare = CASES[case]

    runs = await each_await_fails(service(name), act, check, prepare=prepare)

    assert all(runs[fault] for fault in Fault)


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


@pytest.mark.parametrize("case", SEQUENCES)
async def test_each_delivery_may_come_twice(case: str):
    name, events, check, prepare = SEQUENCES[case]

    await each_delivery_twice(service(name), events, check, prepare=prepare)


PLANTED = {
    "payment charges": "every_attempt_charges",
    "CreateCart and AddItem": "inbox_rows_are_not_written",
    "stock reserves": "inbox_rows_are_not_written",
    "released before": "stock_leaves_no_tombstone",
}
BY_NAME = {bug.name: bug for bug in BUGS}


@pytest.mark.parametrize("case", PLANTED)
async def test_planted_bug_is_found(case: str):
    promise = (
        test_every_fault_at_every_await_is_survived if case in CASES else test_each_delivery_may_come_twice
    )

    with BY_NAME[PLANTED[case]].plant(), pytest.raises(AssertionError) as found:
        await promise(case)

    assert found.value.__notes__
