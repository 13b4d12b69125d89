"""gRPC to use cases: the service `LoyaltyPoints`."""

from typing import Any

from contract.fields import checked_id
from rpc import loyalty_points_pb2 as pb
from rpc.loyalty_points_pb2_grpc import LoyaltyPointsServicer
from services.loyalty_points.usecases import UseCases


class Servicer(LoyaltyPointsServicer):
    """Validate requests, call the use cases, convert results to messages."""

    def __init__(self, usecases: UseCases) -> None:
        self._usecases = usecases

    async def GetPoints(self, request: pb.GetPointsRequest, context: Any) -> pb.GetPointsResponse:
        points = await self._usecases.get_points(checked_id("orderid", request.orderid))
        return pb.GetPointsResponse(points=points)
