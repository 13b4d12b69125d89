"""The JSON of the resources, and what may be in a request beside its body.

A resource has the fields of the message it is made of; a test compares the two.
"""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field
from pydantic.json_schema import SkipJsonSchema

from services.gateway.models import CartItem, Count, Id, Request


class CartPath(Request):
    cartid: Id = Field(examples=["1234567"])


class CartItemPath(CartPath):
    itemid: Id = Field(examples=["blue"])


class OrderPath(Request):
    orderid: Id = Field(examples=["0b0c1c52-6f0b-4d0a-9a3e-2f6f1f0a8b5d"])


class OrderView(Request):
    wait: float = Field(
        0,
        ge=0,
        le=60,
        allow_inf_nan=False,
        description="For how many seconds to wait for the order to end, if it has not.",
    )


class ItemPath(Request):
    itemid: Id = Field(examples=["blue"])


class Page(Request):
    page_size: int = Field(100, ge=1, le=100, description="At most so many items.")
    page_token: str = Field(
        "", pattern=r"^[A-Za-z0-9._~-]{0,128}$", description="The next_page_token of the page before."
    )


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


class ItemCount(Request):
    count: Annotated[Count, BeforeValidator(_whole)]
    """To JSON Schema `3.0` is an integer; the older routes refuse it."""


class Nothing(Request):
    """No body, or an empty object."""


class ShoppingCart(BaseModel):
    cartid: str
    status: str = Field(description="open, closed or checked-out")
    cart_items: list[CartItem] = Field(description="In the order they were added.")
    orderid: str | SkipJsonSchema[None] = Field(
        default_factory=lambda: None, description="The order it became, once checked out."
    )
