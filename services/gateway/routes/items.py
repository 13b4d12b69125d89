"""/v1/items: the catalogue."""

from typing import Annotated

from fastapi import Query, Response

from rpc import stock_pb2 as pb
from services.gateway.dependencies import Conditional, Services
from services.gateway.documentation import conditional, links
from services.gateway.models import Item, ItemId, ItemPage, PageToken
from services.gateway.routes import resource_router

router = resource_router("items")

_NEXT_PAGE = {"page_token": "$response.body#/next_page_token"}
_LINKS = links("get_item", itemid="$response.body#/items/0/itemid") | links("list_items", **_NEXT_PAGE)


@router.get(
    "", summary="List the catalogue, page by page", response_model=ItemPage, responses=conditional(**_LINKS)
)
async def list_items(
    services: Services,
    conditional: Conditional,
    page_size: Annotated[int, Query(ge=1, le=100, description="Maximum number of items.")] = 100,
    page_token: Annotated[PageToken, Query(pattern=r"^[A-Za-z0-9._~-]{0,128}$")] = "",
) -> Response:
    request = pb.ListItemsRequest(page_size=page_size, page_token=page_token)
    return conditional(ItemPage.from_message(await services.stock.ListItems(request)))


@router.get("/{itemid:name}", summary="Get an item", response_model=Item, responses=conditional())
async def get_item(itemid: ItemId, services: Services, conditional: Conditional) -> Response:
    answer = await services.stock.GetItem(pb.GetItemRequest(itemid=itemid))
    return conditional(Item.from_message(answer.item))
