"""gRPC to use cases: the service `Delivery`."""

from typing import Any

from contract.fields import checked_id
from contract.messages import to_message
from rpc import delivery_pb2 as pb
from rpc.delivery_pb2_grpc import DeliveryServicer
from services.delivery.usecases import UseCases


class Servicer(DeliveryServicer):
    """Validate requests, call the use cases, convert results to messages."""

    def __init__(self, usecases: UseCases) -> None:
        self._usecases = usecases

    async def GetDelivery(self, request: pb.GetDeliveryRequest, context: Any) -> pb.GetDeliveryResponse:
        shipment = await self._usecases.get_delivery(checked_id("orderid", request.orderid))
        return pb.GetDeliveryResponse(delivery=to_message(pb.Shipment, shipment))
