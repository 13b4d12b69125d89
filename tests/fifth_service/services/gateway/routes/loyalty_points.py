"""/v1/loyalty-points: the points that orders have earned."""

from pydantic import BaseModel

from rpc.loyalty_points_pb2 import GetPointsRequest
from rpc.loyalty_points_pb2_grpc import LoyaltyPointsStub
from services.gateway.dependencies import Services
from services.gateway.models import OrderId
from services.gateway.routes import resource_router

router = resource_router("loyalty-points")


class Points(BaseModel):
    """Points of an order."""

    points: int


@router.get("/{orderid:name}", summary="Get the points that an order has earned")
async def get_points(orderid: OrderId, services: Services) -> Points:
    points = services.stub("loyalty-points", LoyaltyPointsStub)
    return Points(points=(await points.GetPoints(GetPointsRequest(orderid=orderid))).points)
