"""The JSON of the API: bodies of requests, and answers, named and shaped after the messages of `proto/`."""

from typing import Annotated, Any
from uuid import uuid4

from pydantic import BaseModel, BeforeValidator, Field
from pydantic.json_schema import SkipJsonSchema

from contract.fields import ID_PATTERN, MAX_COUNT
from services.gateway.json_route import JsonAnswer, JsonBody

_TIME = "2026-11-21T12:00:00.000Z"
_ITEMS = [{"itemid": "blue", "count": 3}]
_ORDERID = "0b0c1c52-6f0b-4d0a-9a3e-2f6f1f0a8b5d"
_EVENTID = "9f0f7c1e-5d0a-4c58-8f43-0c3c6c1d4f7a"
_TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"

CartId = Annotated[str, Field(pattern=ID_PATTERN, examples=["1234567"])]
ItemId = Annotated[str, Field(pattern=ID_PATTERN, examples=["blue"])]
OrderId = Annotated[str, Field(pattern=ID_PATTERN, examples=[_ORDERID])]
Count = Annotated[int, Field(ge=1, le=MAX_COUNT, examples=[3])]


def unset(description: str, example: Any) -> Any:
    """A field left out of the answer if unset; a default of None would be documented as null."""
    return Field(default_factory=lambda: None, description=description, examples=[example])


class CartRequest(JsonBody):
    cartid: CartId


class CartItemRequest(CartRequest):
    itemid: ItemId


class AddItemRequest(CartItemRequest):
    count: Count
    # Generated if the client gives none, so that a call retried by the channel is never applied twice.
    commandid: str = Field(
        pattern=ID_PATTERN,
        default_factory=lambda: str(uuid4()),
        description="Names this call: repeated under the same commandid it adds nothing.",
        examples=[_EVENTID],
    )


class OrderRequest(JsonBody):
    orderid: OrderId


class ItemRequest(JsonBody):
    itemid: ItemId


class ListItemsRequest(JsonBody):
    page_size: int = Field(
        0, ge=0, le=100, description="Maximum number of items; 0 means 100.", examples=[10]
    )
    page_token: str = Field("", max_length=1024, description="The next_page_token of the previous page.")


def _to_integer(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


class ItemCount(JsonBody):
    # To JSON Schema 3.0 is an integer; the older routes reject it.
    count: Annotated[Count, BeforeValidator(_to_integer)]


class Cart(JsonAnswer):
    cartid: str = Field(examples=["1234567"])
    status: str = Field(description="open, closed or checked-out", examples=["open"])


class CartItem(JsonAnswer):
    itemid: str = Field(examples=["blue"])
    count: int = Field(examples=[3])


class ShoppingCart(Cart):
    cart_items: list[CartItem] = Field(description="In the order they were added.", examples=[_ITEMS])
    orderid: str | SkipJsonSchema[None] = unset("The order it became, once checked out.", _ORDERID)


class OrderTicket(JsonAnswer):
    orderid: str = Field(examples=[_ORDERID])
    status: str = Field(
        description="pre-approved, reserved, approved; or, failed: reserve-failed, payment-failed, canceled",
        examples=["approved"],
    )
    cart_items: list[CartItem] = Field(examples=[_ITEMS])
    amount: int | SkipJsonSchema[None] = unset("Amount charged, in minor units of the currency.", 300)
    reason: str | SkipJsonSchema[None] = unset("Why the order failed.", "client")


class Item(JsonAnswer):
    itemid: str = Field(examples=["blue"])
    price: int = Field(description="Price per unit, in minor units of the currency.", examples=[100])
    stock: int = Field(description="Units ever put in: available + reserved + sold.", examples=[100_000])
    available: int = Field(examples=[99_997])
    reserved: int = Field(examples=[0])
    sold: int = Field(examples=[3])
    waives_payment: bool = Field(examples=[False])
    shards: int = Field(
        description="Number of parts that a popular item's stock is split into.", examples=[8]
    )


class OrderHistoryEntry(JsonAnswer):
    status: str = Field(description="The ticket's new status, or delivery-arranged.", examples=["reserved"])
    time: str = Field(examples=[_TIME])
    cause: str = Field(
        description="checkout, client, timeout, or what another service reported", examples=["reserved"]
    )
    eventid: str | SkipJsonSchema[None] = unset("The event that reported it.", _EVENTID)
    trace_id: str | SkipJsonSchema[None] = unset("The trace it happened in, if it was traced.", _TRACE_ID)


class OrderHistory(JsonAnswer):
    orderid: str = Field(examples=[_ORDERID])
    history: list[OrderHistoryEntry]


class Charge(JsonAnswer):
    orderid: str = Field(examples=[_ORDERID])
    status: str = Field(description="charged, settled, declined or canceled", examples=["settled"])
    amount: int | SkipJsonSchema[None] = unset("Amount requested, in minor units of the currency.", 300)
    refunded: int = Field(description="The part of it that was refunded.", examples=[0])
    reason: str | SkipJsonSchema[None] = unset("Why it was declined.", "limit")
    time: str = Field(examples=[_TIME])
    settled_time: str | SkipJsonSchema[None] = unset("When it was settled or refunded.", _TIME)


class Shipment(JsonAnswer):
    orderid: str = Field(examples=[_ORDERID])
    status: str = Field(description="arranged", examples=["arranged"])
    items: list[CartItem] = Field(examples=[_ITEMS])
    time: str = Field(examples=[_TIME])


class CartAnswer(JsonAnswer):
    cart: Cart


class CartItems(JsonAnswer):
    cart_items: list[CartItem] = Field(examples=[_ITEMS])


class CartContents(JsonAnswer):
    cartid: str = Field(examples=["1234567"])
    cart_items: list[CartItem] = Field(examples=[_ITEMS])


class OrderTicketAnswer(JsonAnswer):
    order_ticket: OrderTicket


class PaymentAnswer(JsonAnswer):
    payment: Charge


class DeliveryAnswer(JsonAnswer):
    delivery: Shipment


class ItemAnswer(JsonAnswer):
    item: Item


class ItemPage(JsonAnswer):
    items: list[Item]
    next_page_token: str = Field(description="Empty on the last page.", examples=[""])


class FieldError(BaseModel):
    field: str
    message: str


class Problem(BaseModel):
    """A failure (RFC 9457)."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Bad Request"])
    status: int = Field(examples=[400])
    detail: str = Field(examples=["count: Input should be greater than or equal to 1"])
    reason: str = Field(description="A stable, machine-readable word.", examples=["invalid-argument"])
    errors: list[FieldError] | SkipJsonSchema[None] = unset(
        "The invalid fields, if any.",
        [{"field": "count", "message": "Input should be greater than or equal to 1"}],
    )
