"""The gRPC services Payment and Delivery: their answers and errors."""

from rpc import delivery_pb2, payment_pb2, purchase_pb2
from services.payment.simulated import FaultSettings, save_faults
from services.payment.storage import payment_key
from tests.service.rejections import all_rejected
from tests.support.eventually import eventually
from tests.support.suite import Suite

ORDERIDS = {"": "orderid", "?": "orderid", "x" * 129: "orderid", "none": "unknown-order"}


def get_payment(orderid: str):
    return "GetPayment", payment_pb2.GetPaymentRequest(orderid=orderid)


def get_delivery(orderid: str):
    return "GetDelivery", delivery_pb2.GetDeliveryRequest(orderid=orderid)


async def test_invalid_and_unknown_orderids_are_rejected_by_name(suite: Suite):
    await all_rejected(suite.payment, [(*get_payment(each), name) for each, name in ORDERIDS.items()])
    await all_rejected(suite.delivery, [(*get_delivery(each), name) for each, name in ORDERIDS.items()])


async def test_canceled_order_has_a_canceled_charge_and_no_delivery(suite: Suite):
    await save_faults(suite.backend.tables, FaultSettings(unavailable=True))
    ticket = await suite.order("c", blue=3)
    await suite.ticket_becomes(ticket.orderid, "reserved")
    await suite.purchase.CancelOrder(purchase_pb2.CancelOrderRequest(orderid=ticket.orderid))
    await save_faults(suite.backend.tables, FaultSettings())

    charge = await eventually(lambda: canceled(suite, ticket.orderid))

    assert (charge.orderid, charge.status) == (ticket.orderid, "canceled")
    assert not charge.HasField("reason")
    await all_rejected(suite.delivery, [(*get_delivery(ticket.orderid), "unknown-order")])
    await suite.balances()


async def canceled(suite: Suite, orderid: str) -> payment_pb2.Charge | None:
    if not await suite.backend.tables.lookup([payment_key(orderid)]):
        return None
    charge = await suite.charge(orderid)
    return charge if charge.status == "canceled" else None
