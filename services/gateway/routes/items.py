"""/v1/items: the catalogue."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from contract.fields import ID_PATTERN
from rpc import stock_pb2 as pb
from services.gateway.dependencies import Conditional, Services
from services.gateway.documentation import COMMON_PROBLEMS, conditional, links, problems
from services.gateway.json_route import ResourceRoute
from services.gateway.models import Item, ItemPage

router = APIRouter(
    prefix="/v1/items",
    tags=["v1 items"],
    route_class=ResourceRoute,
    responses={**COMMON_PROBLEMS, **problems(404)},
    generate_unique_id_function=lambda route: route.name,
)

_NEXT_PAGE = {"page_token": "$response.body#/next_page_token"}
_LINKS = links("get_item", itemid="$response.body#/items/0/itemid") | links("list_items", **_NEXT_PAGE)


@router.get(
    "",
    summary="List the catalogue by itemid, page by page",
    response_model=ItemPage,
    responses=conditional(_LINKS),
)
async def list_items(
    services: Services,
    conditional: Conditional,
    page_size: Annotated[int, Query(ge=1, le=100, description="Maximum number of items.")] = 100,
    page_token: Annotated[
        str, Query(pattern=r"^[A-Za-z0-9._~-]{0,128}$", description="The previous page's next_page_token.")
    ] = "",
) -> Response:
    request = pb.ListItemsRequest(page_size=page_size, page_token=page_token)
    return conditional(ItemPage.from_message(await services.stock.ListItems(request)))


@router.get("/{itemid:name}", summary="Get an item", response_model=Item, responses=conditional())
async def get_item(
    itemid: Annotated[str, Path(pattern=ID_PATTERN, examples=["blue"])],
    services: Services,
    conditional: Conditional,
) -> Response:
    answer = await services.stock.GetItem(pb.GetItemRequest(itemid=itemid))
    return conditional(Item.from_message(answer.item))
