"""The JSON of the API: bodies of requests, and answers, shaped after the messages of `proto/`."""

from typing import Annotated, Any
from uuid import uuid4

from pydantic import BaseModel, BeforeValidator, Field
from pydantic.json_schema import SkipJsonSchema

from contract.fields import ID_PATTERN, MAX_COUNT
from services.gateway.json_route import JsonAnswer, JsonBody

_ORDERID = "0b0c1c52-6f0b-4d0a-9a3e-2f6f1f0a8b5d"
_UUID = "9f0f7c1e-5d0a-4c58-8f43-0c3c6c1d4f7a"

Id = Annotated[str, Field(pattern=ID_PATTERN)]
CartId = Annotated[Id, Field(examples=["1234567"])]
ItemId = Annotated[Id, Field(examples=["blue"])]
OrderId = Annotated[Id, Field(examples=[_ORDERID])]
Count = Annotated[int, Field(ge=1, le=MAX_COUNT, examples=[3])]
PageToken = Annotated[str, Field(description="The next_page_token of the previous page.")]
Time = Annotated[str, Field(examples=["2026-11-21T12:00:00.000Z"])]
CartStatus = Annotated[str, Field(description="open, closed or checked-out", examples=["open"])]


def unset(description: str, example: Any) -> Any:
    """A field left out of the answer if unset; a default of None would be documented as null."""
    none, is_none = (lambda: None), (lambda value: value is None)
    return Field(default_factory=none, exclude_if=is_none, description=description, examples=[example])


def _to_integer(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


class CartRequest(JsonBody):
    cartid: CartId


class CartItemRequest(CartRequest):
    itemid: ItemId


class AddItemRequest(CartItemRequest):
    count: Count
    # Generated if the client gives none, so that a call retried by the channel is never applied twice.
    commandid: Id = Field(
        default_factory=lambda: str(uuid4()),
        description="Names this call: repeated under the same commandid it adds nothing.",
        examples=[_UUID],
    )


class OrderRequest(JsonBody):
    orderid: OrderId


class ItemRequest(JsonBody):
    itemid: ItemId


class ListItemsRequest(JsonBody):
    page_size: int = Field(0, ge=0, le=100, description="Maximum number of items; 0 means 100.")
    page_token: PageToken = Field("", max_length=1024)


class ItemCount(JsonBody):
    # To JSON Schema 3.0 is an integer; the older routes reject it.
    count: Annotated[Count, BeforeValidator(_to_integer)]


class Cart(JsonAnswer):
    cartid: str = Field(examples=["1234567"])
    status: CartStatus


class CartItem(JsonAnswer):
    itemid: str = Field(examples=["blue"])
    count: int = Field(examples=[3])


CartItemList = Annotated[list[CartItem], Field(description="In the order they were added.")]


class ShoppingCart(Cart):
    cart_items: CartItemList
    orderid: str | SkipJsonSchema[None] = unset("The order it became, once checked out.", _ORDERID)


class OrderTicket(JsonAnswer):
    orderid: str = Field(examples=[_ORDERID])
    status: str = Field(
        description="pre-approved, reserved, approved; or, failed: reserve-failed, payment-failed, canceled",
        examples=["approved"],
    )
    cart_items: CartItemList
    amount: int | SkipJsonSchema[None] = unset("Amount charged, in minor units of the currency.", 300)
    reason: str | SkipJsonSchema[None] = unset("Why the order failed.", "client")


class Item(JsonAnswer):
    itemid: str = Field(examples=["blue"])
    price: int = Field(description="Price per unit, in minor units of the currency.", examples=[100])
    stock: int = Field(description="Units ever put in: available + reserved + sold.", examples=[100_000])
    available: int = Field(examples=[99_997])
    reserved: int = Field(examples=[0])
    sold: int = Field(examples=[3])
    waives_payment: bool
    shards: int = Field(
        description="Number of parts that a popular item's stock is split into.", examples=[8]
    )


class OrderHistoryEntry(JsonAnswer):
    status: str = Field(description="The ticket's new status, or delivery-arranged.", examples=["reserved"])
    time: Time
    cause: str = Field(description="checkout, client, timeout, or another service's report: its status")
    eventid: str | SkipJsonSchema[None] = unset("The event that reported it.", _UUID)
    trace_id: str | SkipJsonSchema[None] = unset("The trace it happened in, if it was traced.", "4bf92f35")


class OrderHistory(JsonAnswer):
    orderid: str = Field(examples=[_ORDERID])
    history: list[OrderHistoryEntry]


class Charge(JsonAnswer):
    orderid: str = Field(examples=[_ORDERID])
    status: str = Field(description="charging, charged, settled, declined or canceled", examples=["settled"])
    amount: int | SkipJsonSchema[None] = unset("Amount requested, in minor units of the currency.", 300)
    refunded: int = Field(description="The part of it that was refunded.", examples=[0])
    reason: str | SkipJsonSchema[None] = unset("Why it was declined.", "limit")
    time: Time
    settled_time: Time | SkipJsonSchema[None] = unset(
        "When it was settled or refunded.", "2026-11-21T12:00:01Z"
    )


class Shipment(JsonAnswer):
    orderid: str = Field(examples=[_ORDERID])
    status: str = Field(examples=["arranged"])
    items: list[CartItem]
    time: Time


class CartAnswer(JsonAnswer):
    cart: Cart


class CartItems(JsonAnswer):
    cart_items: CartItemList


class CartContents(JsonAnswer):
    cartid: str = Field(examples=["1234567"])
    cart_items: CartItemList


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
    next_page_token: str = Field(description="Empty on the last page.")


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
