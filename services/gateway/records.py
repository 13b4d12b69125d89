"""Asks every service at once what it has on record about an order."""

import asyncio
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc.aio import AioRpcError

from rpc.delivery_pb2 import GetDeliveryRequest
from rpc.payment_pb2 import GetPaymentRequest
from rpc.purchase_pb2 import GetOrderHistoryRequest
from rpc.stock_pb2 import GetReservationRequest
from sagakit.errors import Unavailable
from services.gateway import behalf
from services.gateway.behalf import Bearer
from services.gateway.clients import SERVICES, Clients
from services.gateway.moves import Records


class RecordReader:
    """Reads through the services' gRPC, never their kinds."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    async def read(self, orderid: str, bearer: Bearer) -> Records:
        """On behalf of a caller. Unavailable where purchase cannot say."""
        with behalf.of(bearer):
            found: tuple[Any, ...] = await asyncio.gather(
                self._ask("purchase", "GetOrderHistory", GetOrderHistoryRequest(orderid=orderid)),
                self._ask("stock", "GetReservation", GetReservationRequest(orderid=orderid)),
                self._ask("payment", "GetPayment", GetPaymentRequest(orderid=orderid)),
                self._ask("delivery", "GetDelivery", GetDeliveryRequest(orderid=orderid)),
                return_exceptions=True,
            )
        for each in found:
            # A defect is no answer of a service's.
            if isinstance(each, BaseException) and not isinstance(each, AioRpcError):
                raise each
        history, *others = found
        if isinstance(history, AioRpcError):
            raise Unavailable(f"purchase: {history.code().name}") from history
        reservation, charge, shipment = (None if isinstance(each, AioRpcError) else each for each in others)
        return Records(
            history=tuple(history.history),
            reservation=reservation and reservation.reservation,
            charge=charge and charge.payment,
            shipment=shipment and shipment.delivery,
            complete=all(_is_an_answer(each) for each in others),
        )

    async def _ask(self, service: str, rpc: str, request: Message) -> Any:
        return await self._clients.call(SERVICES[service].methods_by_name[rpc], request)


def _is_an_answer(found: object) -> bool:
    """Whether it says what there is; that there is nothing says so too."""
    return not isinstance(found, AioRpcError) or found.code() == grpc.StatusCode.NOT_FOUND
