"""The resources: one row for each thing that can be done. Routes and their documentation are made of it."""

from services.gateway import models
from services.gateway.clients import SERVICES
from services.gateway.v1.action import Action, Made
from services.gateway.v1.models import (
    CartItemPath,
    CartPath,
    ItemCount,
    ItemPath,
    OrderPath,
    OrderView,
    Page,
    ShoppingCart,
)

_PURCHASE = SERVICES["purchase"].methods_by_name
_STOCK = SERVICES["stock"].methods_by_name

_MOMENT = "2026-11-21T12:00:00.000Z"
_ITEMS = [{"itemid": "blue", "count": 3}]
_CART = {"cartid": "1234567", "status": "open", "cart_items": _ITEMS}
_ORDER = {
    "orderid": "0b0c1c52-6f0b-4d0a-9a3e-2f6f1f0a8b5d",
    "status": "pre-approved",
    "cart_items": _ITEMS,
}
_HISTORY = [
    {"status": "pre-approved", "time": _MOMENT, "cause": "checkout"},
    {
        "status": "approved",
        "time": _MOMENT,
        "cause": "paid",
        "eventid": "9f0f7c1e-5d0a-4c58-8f43-0c3c6c1d4f7a",
    },
]
_ITEM = {
    "itemid": "blue",
    "price": 100,
    "stock": 100000,
    "available": 99997,
    "reserved": 0,
    "sold": 3,
    "waives_payment": False,
    "shards": 8,
}

_AT_CART = {"cartid": "$request.path.cartid"}
_ON_CART = dict.fromkeys(("get_cart", "set_item", "remove_item", "close_cart", "checkout"), _AT_CART)
_AT_ORDER = {"orderid": "$response.body#/orderid"}
_ON_ORDER = dict.fromkeys(("get_order", "cancel_order", "get_order_history"), _AT_ORDER)

ACTIONS = (
    Action(
        "put_cart",
        "PUT",
        "/v1/carts/{cartid}",
        _PURCHASE["CreateCart"],
        ShoppingCart,
        "cart",
        "Open a cart; repeated, the cart that is there",
        _CART | {"cart_items": []},
        CartPath,
        made=Made(201, "/v1/carts/{cartid}", if_created=True),
        refusals=(409,),
        leads_to=_ON_CART,
    ),
    Action(
        "get_cart",
        "GET",
        "/v1/carts/{cartid}",
        _PURCHASE["GetCart"],
        ShoppingCart,
        "cart",
        "Look a cart up, with what is in it",
        _CART,
        CartPath,
    ),
    Action(
        "set_item",
        "PUT",
        "/v1/carts/{cartid}/items/{itemid}",
        _PURCHASE["SetItem"],
        ShoppingCart,
        "cart",
        "Set how many pieces of an item an open cart has, whether or not it had any",
        _CART,
        CartItemPath,
        body=ItemCount,
        body_example={"count": 3},
        refusals=(409,),
        leads_to=_ON_CART,
    ),
    Action(
        "remove_item",
        "DELETE",
        "/v1/carts/{cartid}/items/{itemid}",
        _PURCHASE["RemoveItem"],
        ShoppingCart,
        "cart",
        "Take an item out of an open cart, whatever its count, if it is there",
        _CART | {"cart_items": []},
        CartItemPath,
        refusals=(409,),
    ),
    Action(
        "close_cart",
        "POST",
        "/v1/carts/{cartid}:close",
        _PURCHASE["CloseCart"],
        ShoppingCart,
        "cart",
        "End the filling of a cart; repeated, the same cart",
        _CART | {"status": "closed"},
        CartPath,
        refusals=(409,),
        leads_to={"checkout": _AT_CART},
    ),
    Action(
        "checkout",
        "POST",
        "/v1/carts/{cartid}:checkout",
        _PURCHASE["Checkout"],
        models.OrderTicket,
        "order_ticket",
        "Make a closed cart an order, which goes its way from then on; repeated, the same order",
        _ORDER,
        CartPath,
        made=Made(202, "/v1/orders/{orderid}"),
        refusals=(409,),
        leads_to=_ON_ORDER,
    ),
    Action(
        "get_order",
        "GET",
        "/v1/orders/{orderid}",
        _PURCHASE["GetOrderTicket"],
        models.OrderTicket,
        "order_ticket",
        "See how an order is doing; with `wait`, once it has ended",
        _ORDER | {"status": "approved", "amount": 300},
        OrderPath,
        query=OrderView,
    ),
    Action(
        "cancel_order",
        "POST",
        "/v1/orders/{orderid}:cancel",
        _PURCHASE["CancelOrder"],
        models.OrderTicket,
        "order_ticket",
        "Call an order off that has not ended; repeated, the canceled order",
        _ORDER | {"status": "canceled", "reason": "client"},
        OrderPath,
        refusals=(409,),
    ),
    Action(
        "get_order_history",
        "GET",
        "/v1/orders/{orderid}/history",
        _PURCHASE["GetOrderHistory"],
        models.GetOrderHistoryResponse,
        "",
        "See what became of an order, move by move",
        {"orderid": _ORDER["orderid"], "history": _HISTORY},
        OrderPath,
    ),
    Action(
        "list_items",
        "GET",
        "/v1/items",
        _STOCK["ListItems"],
        models.ListItemsResponse,
        "",
        "List the catalogue by itemid, a page at a time",
        {"items": [_ITEM], "next_page_token": ""},
        None,
        query=Page,
        leads_to={
            "get_item": {"itemid": "$response.body#/items/0/itemid"},
            "list_items": {"page_token": "$response.body#/next_page_token"},
        },
    ),
    Action(
        "get_item",
        "GET",
        "/v1/items/{itemid}",
        _STOCK["GetItem"],
        models.Item,
        "item",
        "Look an item up",
        _ITEM,
        ItemPath,
    ),
)
