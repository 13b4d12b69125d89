"""One order's records are read from all services at once; without the ticket there is nothing to show."""

from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from rpc.delivery_pb2 import GetDeliveryResponse
from rpc.payment_pb2 import GetPaymentResponse
from rpc.purchase_pb2 import GetOrderHistoryResponse, OrderHistoryEntry
from rpc.stock_pb2 import GetReservationResponse
from sagakit.errors import Unavailable
from services.gateway.auth import Credentials
from services.gateway.order_feed.snapshot import SnapshotReader

ORDERID = "o-1"
HISTORY = GetOrderHistoryResponse(history=[OrderHistoryEntry(status="pre-approved")])


class Service:
    """Answers each method with one response, or raises it; there are no records of other orders."""

    def __init__(self, **answers: Any) -> None:
        for name, answer in answers.items():
            setattr(self, name, self._method(answer))

    @staticmethod
    def _method(answer: Any) -> Any:
        async def method(request: Any) -> Any:
            if request.orderid != ORDERID:
                raise failure(grpc.StatusCode.NOT_FOUND)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return method


@dataclass
class Services:
    """Clients of services that have only the ticket on record."""

    history: Any = field(default_factory=lambda: HISTORY)
    reservation: Any = field(default_factory=lambda: failure(grpc.StatusCode.NOT_FOUND))
    payment: Any = field(default_factory=lambda: failure(grpc.StatusCode.NOT_FOUND))
    delivery: Any = field(default_factory=lambda: failure(grpc.StatusCode.NOT_FOUND))

    async def read(self) -> Any:
        clients: Any = Service()
        clients.purchase = Service(GetOrderHistory=self.history)
        clients.stock = Service(GetReservation=self.reservation)
        clients.payment = Service(GetPayment=self.payment)
        clients.delivery = Service(GetDelivery=self.delivery)
        return await SnapshotReader(clients).read(ORDERID, Credentials())


def failure(code: grpc.StatusCode) -> AioRpcError:
    return AioRpcError(code, Metadata(), Metadata())


async def test_services_without_a_record_have_replied():
    found = await Services().read()

    assert (found.status, found.complete) == ("pre-approved", True)
    assert (found.reservation, found.charge, found.shipment) == (None, None, None)


@pytest.mark.parametrize("service", ["reservation", "payment", "delivery"])
async def test_snapshot_is_incomplete_while_a_service_is_unavailable(service: str):
    found = await Services(**{service: failure(grpc.StatusCode.UNAVAILABLE)}).read()

    assert (found.status, found.complete) == ("pre-approved", False)


async def test_each_record_is_that_of_its_service():
    records = {
        "reservation": GetReservationResponse(reservation={"status": "sold"}),
        "payment": GetPaymentResponse(payment={"status": "settled"}),
        "delivery": GetDeliveryResponse(delivery={"time": "2026-11-21T12:00:00.000Z"}),
    }

    found = await Services(**records).read()

    assert (found.reservation.status, found.charge.status) == ("sold", "settled")
    assert found.shipment.time == "2026-11-21T12:00:00.000Z"


async def test_there_is_no_snapshot_while_purchase_is_unavailable():
    with pytest.raises(Unavailable, match="purchase: UNAVAILABLE"):
        await Services(history=failure(grpc.StatusCode.UNAVAILABLE)).read()


@pytest.mark.parametrize("service", ["history", "reservation", "payment", "delivery"])
async def test_defect_is_not_taken_for_a_missing_record(service: str):
    with pytest.raises(ValueError, match="a defect"):
        await Services(**{service: ValueError("a defect")}).read()
