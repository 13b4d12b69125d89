"""The API: one row for each thing that can be asked for. Routes and their documentation are made of it."""

from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from pydantic import BaseModel

from services.gateway import models
from services.gateway.clients import SERVICES

_PURCHASE = SERVICES["purchase"].methods_by_name
_STOCK = SERVICES["stock"].methods_by_name
_PAYMENT = SERVICES["payment"].methods_by_name
_DELIVERY = SERVICES["delivery"].methods_by_name

_ORDERID = "0b0c1c52-6f0b-4d0a-9a3e-2f6f1f0a8b5d"
_EVENTID = "9f0f7c1e-5d0a-4c58-8f43-0c3c6c1d4f7a"
_CARTID = {"cartid": "1234567"}
_CART_ITEMS = [{"itemid": "blue", "count": 3}]
_TICKET = {"orderid": _ORDERID, "status": "pre-approved", "cart_items": _CART_ITEMS}
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
_MOMENT = "2026-11-21T12:00:00.000Z"


@dataclass(frozen=True, slots=True)
class Operation:
    """POST `path` with a `body`: calls `rpc`, answers its `answer`. The two are as in `proto/`."""

    path: str
    rpc: MethodDescriptor
    body: type[models.Request]
    answer: type[BaseModel]
    summary: str
    example: dict[str, Any]
    answer_example: dict[str, Any]
    refusals: tuple[int, ...] = ()
    """The statuses it fails with beside those that anything can fail with."""


OPERATIONS = (
    Operation(
        "/purchase/api/create_cart",
        _PURCHASE["CreateCart"],
        models.CreateCartRequest,
        models.CreateCartResponse,
        "Open an empty cart; repeated, the cart that is there",
        example=_CARTID,
        answer_example={"cart": {**_CARTID, "status": "open"}},
        refusals=(409,),
    ),
    Operation(
        "/purchase/api/get_cart",
        _PURCHASE["GetCart"],
        models.GetCartRequest,
        models.GetCartResponse,
        "Look a cart up",
        example=_CARTID,
        answer_example={"cart": {**_CARTID, "status": "open"}},
        refusals=(404,),
    ),
    Operation(
        "/purchase/api/add_item",
        _PURCHASE["AddItem"],
        models.AddItemRequest,
        models.AddItemResponse,
        "Put pieces of an item into an open cart",
        example={**_CARTID, "itemid": "blue", "count": 3},
        answer_example={"cart_items": _CART_ITEMS},
        refusals=(404, 409),
    ),
    Operation(
        "/purchase/api/remove_item",
        _PURCHASE["RemoveItem"],
        models.RemoveItemRequest,
        models.RemoveItemResponse,
        "Take an item out of an open cart, whatever its count",
        example={**_CARTID, "itemid": "red"},
        answer_example={"cart_items": _CART_ITEMS},
        refusals=(404, 409),
    ),
    Operation(
        "/purchase/api/get_cart_contents",
        _PURCHASE["GetCartContents"],
        models.GetCartContentsRequest,
        models.GetCartContentsResponse,
        "List what is in a cart, in the order it was added",
        example=_CARTID,
        answer_example={**_CARTID, "cart_items": _CART_ITEMS},
        refusals=(404,),
    ),
    Operation(
        "/purchase/api/close_cart",
        _PURCHASE["CloseCart"],
        models.CloseCartRequest,
        models.CloseCartResponse,
        "End the filling of a cart; repeated, the same cart",
        example=_CARTID,
        answer_example={"cart": {**_CARTID, "status": "closed"}},
        refusals=(404, 409),
    ),
    Operation(
        "/purchase/api/checkout",
        _PURCHASE["Checkout"],
        models.CheckoutRequest,
        models.CheckoutResponse,
        "Open the order ticket of a closed cart; repeated, the same ticket",
        example=_CARTID,
        answer_example={"order_ticket": _TICKET},
        refusals=(404, 409),
    ),
    Operation(
        "/purchase/api/get_order_ticket",
        _PURCHASE["GetOrderTicket"],
        models.GetOrderTicketRequest,
        models.GetOrderTicketResponse,
        "See how an order is doing",
        example={"orderid": _ORDERID},
        answer_example={"order_ticket": {**_TICKET, "status": "approved", "amount": 300}},
        refusals=(404,),
    ),
    Operation(
        "/purchase/api/cancel_order",
        _PURCHASE["CancelOrder"],
        models.CancelOrderRequest,
        models.CancelOrderResponse,
        "Call an order off that has not ended; repeated, the canceled ticket",
        example={"orderid": _ORDERID},
        answer_example={"order_ticket": {**_TICKET, "status": "canceled", "reason": "client"}},
        refusals=(404, 409),
    ),
    Operation(
        "/purchase/api/get_order_history",
        _PURCHASE["GetOrderHistory"],
        models.GetOrderHistoryRequest,
        models.GetOrderHistoryResponse,
        "See what became of an order, move by move",
        example={"orderid": _ORDERID},
        answer_example={
            "orderid": _ORDERID,
            "history": [
                {"status": "pre-approved", "time": _MOMENT, "cause": "checkout"},
                {"status": "reserved", "time": _MOMENT, "cause": "reserved", "eventid": _EVENTID},
            ],
        },
        refusals=(404,),
    ),
    Operation(
        "/payment/api/get_payment",
        _PAYMENT["GetPayment"],
        models.GetPaymentRequest,
        models.GetPaymentResponse,
        "See what was charged for an order",
        example={"orderid": _ORDERID},
        answer_example={
            "payment": {
                "orderid": _ORDERID,
                "status": "settled",
                "amount": 300,
                "refunded": 0,
                "time": _MOMENT,
                "settled_time": _MOMENT,
            }
        },
        refusals=(404,),
    ),
    Operation(
        "/delivery/api/get_delivery",
        _DELIVERY["GetDelivery"],
        models.GetDeliveryRequest,
        models.GetDeliveryResponse,
        "See what is on its way for an order",
        example={"orderid": _ORDERID},
        answer_example={
            "delivery": {"orderid": _ORDERID, "status": "arranged", "items": _CART_ITEMS, "time": _MOMENT}
        },
        refusals=(404,),
    ),
    Operation(
        "/stock/api/get_item",
        _STOCK["GetItem"],
        models.GetItemRequest,
        models.GetItemResponse,
        "Look an item up",
        example={"itemid": "blue"},
        answer_example={"item": _ITEM},
        refusals=(404,),
    ),
    Operation(
        "/stock/api/list_items",
        _STOCK["ListItems"],
        models.ListItemsRequest,
        models.ListItemsResponse,
        "List the catalogue, a page at a time",
        example={"page_size": 10, "page_token": ""},
        answer_example={"items": [_ITEM], "next_page_token": ""},
    ),
)
