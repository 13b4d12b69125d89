"""The payment and the delivery service by gRPC: what their calls answer and what they refuse."""

import grpc
import pytest

from rpc import delivery_pb2, payment_pb2, purchase_pb2
from services.payment.simulated import FaultSettings, save_faults
from services.payment.storage import payment_key
from tests.support.eventually import eventually
from tests.support.suite import Suite


async def code_of(call) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value.code()


async def test_what_an_approved_order_was_charged_and_what_is_on_its_way(suite: Suite):
    ticket = await suite.order("c", blue=3)
    await suite.ticket_becomes(ticket.orderid, "approved")
    await suite.balances()

    charge, shipment = await suite.charge(ticket.orderid), await suite.shipment(ticket.orderid)

    assert (charge.orderid, charge.status, charge.amount, charge.refunded) == (
        ticket.orderid,
        "settled",
        300,
        0,
    )
    assert charge.time <= charge.settled_time
    assert (shipment.orderid, shipment.status) == (ticket.orderid, "arranged")
    assert [(item.itemid, item.count) for item in shipment.items] == [("blue", 3)]
    assert shipment.time > charge.time


async def test_what_an_order_was_declined_for(suite: Suite):
    ticket = await suite.order("c", gold=1)
    await suite.ticket_becomes(ticket.orderid, "payment-failed")

    charge = await suite.charge(ticket.orderid)

    assert (charge.status, charge.amount) == ("declined", 1_000_000)
    assert charge.reason == "declined: 1000000 is above the limit of 100000"
    assert not charge.HasField("settled_time")


async def test_a_canceled_order_says_so_at_payment_and_has_no_delivery(suite: Suite):
    await save_faults(suite.backend.tables, FaultSettings(unavailable=True))
    ticket = await suite.order("c", blue=3)
    await suite.ticket_becomes(ticket.orderid, "reserved")
    await suite.purchase.CancelOrder(purchase_pb2.CancelOrderRequest(orderid=ticket.orderid))
    await save_faults(suite.backend.tables, FaultSettings())

    charge = await eventually(lambda: canceled(suite, ticket.orderid))

    assert (charge.orderid, charge.status) == (ticket.orderid, "canceled")
    assert not charge.HasField("reason")
    delivery = suite.delivery.GetDelivery(delivery_pb2.GetDeliveryRequest(orderid=ticket.orderid))
    assert await code_of(delivery) is grpc.StatusCode.NOT_FOUND
    await suite.balances()


async def canceled(suite: Suite, orderid: str) -> payment_pb2.Charge | None:
    if not await suite.backend.tables.lookup([payment_key(orderid)]):
        return None
    charge = await suite.charge(orderid)
    return charge if charge.status == "canceled" else None


async def test_an_order_that_waives_payment_is_no_affair_of_payment_and_is_delivered(suite: Suite):
    ticket = await suite.order("c", red=2)
    await suite.ticket_becomes(ticket.orderid, "approved")
    await suite.balances()

    payment = suite.payment.GetPayment(payment_pb2.GetPaymentRequest(orderid=ticket.orderid))

    assert await code_of(payment) is grpc.StatusCode.NOT_FOUND
    assert [item.itemid for item in (await suite.shipment(ticket.orderid)).items] == ["red"]


@pytest.mark.parametrize(
    ("orderid", "code"),
    [
        ("", grpc.StatusCode.INVALID_ARGUMENT),
        ("?", grpc.StatusCode.INVALID_ARGUMENT),
        ("x" * 129, grpc.StatusCode.INVALID_ARGUMENT),
        ("none", grpc.StatusCode.NOT_FOUND),
    ],
)
async def test_what_makes_no_sense_or_is_not_there_is_refused(suite: Suite, orderid, code):
    payment = suite.payment.GetPayment(payment_pb2.GetPaymentRequest(orderid=orderid))
    delivery = suite.delivery.GetDelivery(delivery_pb2.GetDeliveryRequest(orderid=orderid))

    assert await code_of(payment) is code
    assert await code_of(delivery) is code
