"""The JSON of the API: what requests must be, and what answers look like in its documentation.

Named as the messages of `proto/`, with their fields; a test compares the two. Answers are written from
the protobuf messages (`contract.json`) and never pass through the models here.
"""

from typing import Annotated
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from contract.fields import ID_PATTERN, MAX_COUNT

Id = Annotated[str, Field(pattern=ID_PATTERN)]
Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]


class Request(BaseModel):
    """JSON's own types without conversion (`"3"`, `3.0` and `true` are no counts), and no unknown fields."""

    model_config = ConfigDict(strict=True, extra="forbid")


class CreateCartRequest(Request):
    cartid: Id


class GetCartRequest(Request):
    cartid: Id


class AddItemRequest(Request):
    cartid: Id
    itemid: Id
    count: Count
    # Made here where the client gives none, so that what the channel retries is never added twice.
    commandid: Id = Field(
        default_factory=lambda: str(uuid4()),
        description="Names this call: repeated under the same commandid it adds nothing.",
    )


class RemoveItemRequest(Request):
    cartid: Id
    itemid: Id


class GetCartContentsRequest(Request):
    cartid: Id


class CloseCartRequest(Request):
    cartid: Id


class CheckoutRequest(Request):
    cartid: Id


class GetOrderTicketRequest(Request):
    orderid: Id


class CancelOrderRequest(Request):
    orderid: Id


class GetOrderHistoryRequest(Request):
    orderid: Id


class GetPaymentRequest(Request):
    orderid: Id


class GetDeliveryRequest(Request):
    orderid: Id


class GetItemRequest(Request):
    itemid: Id


class ListItemsRequest(Request):
    page_size: int = Field(0, ge=0, le=100, description="At most so many items; 0 means 100.")
    page_token: str = Field("", max_length=1024, description="The next_page_token of the page before.")


class Cart(BaseModel):
    cartid: str
    status: str = Field(description="open, closed or checked-out")


class CartItem(BaseModel):
    itemid: str
    count: int


class OrderTicket(BaseModel):
    orderid: str
    status: str = Field(
        description="pre-approved, reserved, approved; or, failed: reserve-failed, payment-failed, canceled"
    )
    cart_items: list[CartItem]
    # Left out where there is none; a default of None would be documented as null.
    amount: int | SkipJsonSchema[None] = Field(
        default_factory=lambda: None, description="What is charged, in minor units of the currency."
    )
    reason: str | SkipJsonSchema[None] = Field(
        default_factory=lambda: None, description="Why the order failed."
    )


class Item(BaseModel):
    itemid: str
    price: int = Field(description="For one piece, in minor units of the currency.")
    stock: int = Field(description="Pieces ever put in: available + reserved + sold.")
    available: int
    reserved: int
    sold: int
    waives_payment: bool
    shards: int = Field(description="Into how many parts its stock is split, where many want it at once.")


class OrderHistoryEntry(BaseModel):
    status: str = Field(description="What the ticket became, or delivery-arranged.")
    time: str
    cause: str = Field(description="checkout, client, timeout, or what another service reported")
    eventid: str | SkipJsonSchema[None] = Field(
        default_factory=lambda: None, description="The event that reported it."
    )
    trace_id: str | SkipJsonSchema[None] = Field(
        default_factory=lambda: None, description="The trace it happened in, if it was traced."
    )


class Charge(BaseModel):
    orderid: str
    status: str = Field(description="charged, settled, declined or canceled")
    amount: int | SkipJsonSchema[None] = Field(
        default_factory=lambda: None, description="What was to be charged, in minor units of the currency."
    )
    refunded: int = Field(description="What of it was given back.")
    reason: str | SkipJsonSchema[None] = Field(
        default_factory=lambda: None, description="Why it was declined."
    )
    time: str
    settled_time: str | SkipJsonSchema[None] = Field(
        default_factory=lambda: None, description="When it was settled or given back."
    )


class ShippedItem(BaseModel):
    itemid: str
    count: int


class Shipment(BaseModel):
    orderid: str
    status: str = Field(description="arranged")
    items: list[ShippedItem]
    time: str


class CreateCartResponse(BaseModel):
    cart: Cart


class GetCartResponse(BaseModel):
    cart: Cart


class AddItemResponse(BaseModel):
    cart_items: list[CartItem]


class RemoveItemResponse(BaseModel):
    cart_items: list[CartItem]


class GetCartContentsResponse(BaseModel):
    cartid: str
    cart_items: list[CartItem]


class CloseCartResponse(BaseModel):
    cart: Cart


class CheckoutResponse(BaseModel):
    order_ticket: OrderTicket


class GetOrderTicketResponse(BaseModel):
    order_ticket: OrderTicket


class CancelOrderResponse(BaseModel):
    order_ticket: OrderTicket


class GetOrderHistoryResponse(BaseModel):
    orderid: str
    history: list[OrderHistoryEntry]


class GetPaymentResponse(BaseModel):
    payment: Charge


class GetDeliveryResponse(BaseModel):
    delivery: Shipment


class GetItemResponse(BaseModel):
    item: Item


class ListItemsResponse(BaseModel):
    items: list[Item]
    next_page_token: str = Field(description="Empty on the last page.")


class FieldError(BaseModel):
    field: str
    message: str


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Bad Request",
                    "status": 400,
                    "detail": "count: Input should be greater than or equal to 1",
                    "reason": "invalid-argument",
                    "errors": [{"field": "count", "message": "Input should be greater than or equal to 1"}],
                },
                {
                    "type": "about:blank",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "there is no cart 1234567",
                    "reason": "unknown-cart",
                },
            ]
        }
    )

    type: str
    title: str
    status: int
    detail: str
    reason: str = Field(description="A stable word for machines.")
    errors: list[FieldError] | SkipJsonSchema[None] = Field(
        default_factory=lambda: None, description="The fields at fault, where it is fields."
    )
