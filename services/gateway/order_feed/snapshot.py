"""Reads what all services have on record about one order, concurrently."""

import asyncio
from dataclasses import dataclass
from typing import Any

import grpc
from grpc.aio import AioRpcError

from contract.order_history import OrderSnapshot
from rpc.delivery_pb2 import GetDeliveryRequest
from rpc.payment_pb2 import GetPaymentRequest
from rpc.purchase_pb2 import GetOrderHistoryRequest
from rpc.stock_pb2 import GetReservationRequest
from sagakit.errors import Unavailable
from services.gateway import auth
from services.gateway.auth import Credentials
from services.gateway.clients import Clients


@dataclass(frozen=True, slots=True)
class SnapshotReader:
    """Reads through the services' gRPC APIs, never their tables."""

    clients: Clients

    async def read(self, orderid: str, credentials: Credentials) -> OrderSnapshot:
        """Return the records that `credentials` may see. Raises Unavailable if purchase does not reply."""
        to = self.clients
        with auth.use(credentials):
            found: tuple[Any, ...] = await asyncio.gather(
                to.purchase.GetOrderHistory(GetOrderHistoryRequest(orderid=orderid)),
                to.stock.GetReservation(GetReservationRequest(orderid=orderid)),
                to.payment.GetPayment(GetPaymentRequest(orderid=orderid)),
                to.delivery.GetDelivery(GetDeliveryRequest(orderid=orderid)),
                return_exceptions=True,
            )
        for each in found:
            if isinstance(each, BaseException) and not isinstance(each, AioRpcError):
                raise each
        history, *others = found
        if isinstance(history, AioRpcError):
            raise Unavailable(f"purchase: {history.code().name}") from history
        reservation, charge, shipment = (None if isinstance(each, AioRpcError) else each for each in others)
        return OrderSnapshot(
            history=tuple(history.history),
            reservation=reservation and reservation.reservation,
            charge=charge and charge.payment,
            shipment=shipment and shipment.delivery,
            complete=all(_has_replied(each) for each in others),
        )


def _has_replied(found: object) -> bool:
    """Whether the service replied; NOT_FOUND is a reply."""
    return not isinstance(found, AioRpcError) or found.code() == grpc.StatusCode.NOT_FOUND
