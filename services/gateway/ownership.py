"""Whose orders are whose: purchase alone knows, so it is asked before others tell of an order."""

from google.protobuf.descriptor import MethodDescriptor
from pydantic import BaseModel

from rpc.purchase_pb2 import GetOrderTicketRequest
from services.gateway import behalf
from services.gateway.clients import SERVICES, Clients

_PURCHASE = SERVICES["purchase"]
_GET_TICKET = _PURCHASE.methods_by_name["GetOrderTicket"]


async def entitled(clients: Clients, rpc: MethodDescriptor, body: BaseModel) -> None:
    """Raises AioRpcError where `body` is about an order of which the caller may not be told."""
    orderid = getattr(body, "orderid", None)
    bearer = behalf.current()
    if orderid and bearer.token and not bearer.operator and rpc.containing_service is not _PURCHASE:
        await clients.call(_GET_TICKET, GetOrderTicketRequest(orderid=orderid))
