"""gRPC to use cases: the service `Stock`."""

from typing import Any

from contract.fields import MAX_PRICE, MAX_STOCK, checked_id, checked_int
from contract.messages import to_message
from rpc import stock_pb2 as pb
from rpc.stock_pb2_grpc import StockServicer
from sagakit.auth import caller as callers
from services.stock.catalogue import PAGE, Catalogue
from services.stock.inventory import MAX_SHARDS, StockLevel
from services.stock.usecases import UseCases


class Servicer(StockServicer):
    """Validate requests, call the use cases, convert results to messages."""

    def __init__(self, usecases: UseCases, catalogue: Catalogue) -> None:
        self._usecases = usecases
        self._catalogue = catalogue

    async def GetItem(self, request: pb.GetItemRequest, context: Any) -> pb.GetItemResponse:
        return pb.GetItemResponse(item=_item(await self._catalogue.get_item(_itemid(request))))

    async def ListItems(self, request: pb.ListItemsRequest, context: Any) -> pb.ListItemsResponse:
        items, token = await self._catalogue.list_items(
            checked_int("page_size", request.page_size, 0, PAGE),
            request.page_token and checked_id("page_token", request.page_token),
        )
        return pb.ListItemsResponse(items=[_item(item) for item in items], next_page_token=token)

    async def PutItem(self, request: pb.PutItemRequest, context: Any) -> pb.PutItemResponse:
        callers.require_operator()
        item = await self._catalogue.put_item(
            _itemid(request),
            checked_int("price", request.price, 0, MAX_PRICE),
            checked_int("stock", request.stock, 0, MAX_STOCK),
            request.waives_payment,
            request.only_if_absent,
            checked_int("shards", request.shards, 0, MAX_SHARDS),
        )
        return pb.PutItemResponse(item=_item(item))

    async def GetReservation(
        self, request: pb.GetReservationRequest, context: Any
    ) -> pb.GetReservationResponse:
        reservation = await self._usecases.get_reservation(checked_id("orderid", request.orderid))
        return pb.GetReservationResponse(reservation=to_message(pb.Reservation, reservation))


def _itemid(request: Any) -> str:
    return checked_id("itemid", request.itemid)


def _item(stocked: StockLevel) -> pb.Item:
    units = stocked.units
    return to_message(
        pb.Item, stocked.item, available=units.available, reserved=units.reserved, sold=units.sold
    )
