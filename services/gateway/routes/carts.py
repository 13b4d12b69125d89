"""/v1/carts: carts from opening to checkout."""

from uuid import UUID, uuid4, uuid5

from fastapi import Response

from rpc import purchase_pb2 as pb
from services.gateway import auth
from services.gateway.dependencies import Conditional, IdempotencyKey, Services
from services.gateway.documentation import CHANGE_PROBLEMS, LOCATION, conditional, links
from services.gateway.models import CartId, ItemCount, ItemId, OrderTicket, ShoppingCart
from services.gateway.routes import resource_router

router = resource_router("carts")

_CARTS = UUID("6f1c7d0a-3f55-4a1b-9d0e-5a6d3c1f2b48")
"""Namespace of the ids that are made from idempotency keys."""

_THIS_CART = {"cartid": "$request.path.cartid"}
_CART_OPERATIONS = ("get_cart", "set_item", "remove_item", "close_cart", "checkout")
_CART_LINKS = links(*_CART_OPERATIONS, **_THIS_CART)
_NEW_CART_LINKS = links(*_CART_OPERATIONS, cartid="$response.body#/cartid")
_ORDER_LINKS = links("get_order", "cancel_order", "get_order_history", orderid="$response.body#/orderid")


@router.post(
    "",
    summary="Open a cart under a new id that cannot be guessed",
    status_code=201,
    responses={201: {"headers": LOCATION, "links": _NEW_CART_LINKS}, **CHANGE_PROBLEMS},
)
async def post_cart(key: IdempotencyKey, services: Services, response: Response) -> ShoppingCart:
    """A retry with the same `Idempotency-Key` gets the same cart; use a random key, such as a UUID."""
    cartid = _new_cartid(key)
    answer = await services.purchase.CreateCart(pb.CreateCartRequest(cartid=cartid, commandid=key))
    response.headers["Location"] = f"/v1/carts/{cartid}"
    return ShoppingCart.from_message(answer.cart)


@router.put(
    "/{cartid:name}",
    summary="Open a cart; if it exists, return it",
    status_code=201,
    responses={
        200: {"model": ShoppingCart, "description": "It existed.", "links": _CART_LINKS},
        201: {"headers": LOCATION, "links": _CART_LINKS},
        **CHANGE_PROBLEMS,
    },
)
async def put_cart(
    cartid: CartId, key: IdempotencyKey, services: Services, response: Response
) -> ShoppingCart:
    answer = await services.purchase.CreateCart(pb.CreateCartRequest(cartid=cartid, commandid=key))
    if answer.created:
        response.headers["Location"] = f"/v1/carts/{cartid}"
    else:
        response.status_code = 200
    return ShoppingCart.from_message(answer.cart)


@router.get("/{cartid:name}", summary="Get a cart", response_model=ShoppingCart, responses=conditional())
async def get_cart(cartid: CartId, services: Services, conditional: Conditional) -> Response:
    answer = await services.purchase.GetCart(pb.GetCartRequest(cartid=cartid))
    return conditional(ShoppingCart.from_message(answer.cart))


@router.put(
    "/{cartid:name}/items/{itemid:name}",
    summary="Set the quantity of an item in an open cart, whether or not it has the item",
    description="A cart holds at most 60 different items: one more is a 409, reason `too-many-items`.",
    responses={200: {"links": _CART_LINKS}, **CHANGE_PROBLEMS},
)
async def set_item(
    cartid: CartId, itemid: ItemId, body: ItemCount, key: IdempotencyKey, services: Services
) -> ShoppingCart:
    request = pb.SetItemRequest(cartid=cartid, itemid=itemid, count=body.count, commandid=key)
    answer = await services.purchase.SetItem(request)
    return ShoppingCart.from_message(answer.cart)


@router.delete(
    "/{cartid:name}/items/{itemid:name}",
    summary="Remove an item from an open cart, whatever its quantity, if the cart has it",
    responses=CHANGE_PROBLEMS,
)
async def remove_item(
    cartid: CartId, itemid: ItemId, key: IdempotencyKey, services: Services
) -> ShoppingCart:
    request = pb.RemoveItemRequest(cartid=cartid, itemid=itemid, commandid=key)
    answer = await services.purchase.RemoveItem(request)
    return ShoppingCart.from_message(answer.cart)


@router.post(
    "/{cartid:name}:close",
    summary="Close a cart to changes; if it is closed, return it",
    responses={200: {"links": links("checkout", **_THIS_CART)}, **CHANGE_PROBLEMS},
)
async def close_cart(cartid: CartId, key: IdempotencyKey, services: Services) -> ShoppingCart:
    answer = await services.purchase.CloseCart(pb.CloseCartRequest(cartid=cartid, commandid=key))
    return ShoppingCart.from_message(answer.cart)


@router.post(
    "/{cartid:name}:checkout",
    summary="Turn a closed cart into an order, which is then processed; if there is one, return it",
    status_code=202,
    responses={202: {"headers": LOCATION, "links": _ORDER_LINKS}, **CHANGE_PROBLEMS},
)
async def checkout(
    cartid: CartId, key: IdempotencyKey, services: Services, response: Response
) -> OrderTicket:
    answer = await services.purchase.Checkout(pb.CheckoutRequest(cartid=cartid, commandid=key))
    response.headers["Location"] = f"/v1/orders/{answer.order_ticket.orderid}"
    return OrderTicket.from_message(answer.order_ticket)


def _new_cartid(key: str) -> str:
    """Return a random id; with an idempotency key, always the same one for the same caller."""
    return str(uuid5(_CARTS, f"{auth.current().sub} {key}") if key else uuid4())
