"""What the API answers with: the names are those on the wire, and a test compares them with the protos."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WAITING = frozenset({"pre-approved", "reserved"})
"""Statuses of an order that has not ended."""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CartItem:
    """So many pieces of an item."""

    itemid: str
    count: int


@dataclass(frozen=True, slots=True)
class Cart:
    """A cart with what is in it, in the order it was added."""

    cartid: str
    status: str
    """open, closed or checked-out."""
    cart_items: tuple[CartItem, ...]
    orderid: str | None = None
    """The order it became."""

    @classmethod
    def of(cls, json: Json) -> "Cart":
        return cls(json["cartid"], json["status"], _items(json), json.get("orderid"))


@dataclass(frozen=True, slots=True)
class Order:
    """An order as it was when it was asked for."""

    orderid: str
    status: str
    cart_items: tuple[CartItem, ...]
    amount: int | None = None
    """What is charged, in minor units of the currency."""
    reason: str | None = None
    """Why it failed."""

    @property
    def has_ended(self) -> bool:
        """It is approved, or closed as failed."""
        return self.status not in WAITING

    @classmethod
    def of(cls, json: Json) -> "Order":
        return cls(json["orderid"], json["status"], _items(json), json.get("amount"), json.get("reason"))


@dataclass(frozen=True, slots=True)
class OrderHistoryEntry:
    """What happened to an order once."""

    status: str
    time: str
    """RFC 3339, UTC."""
    cause: str
    """checkout, client, timeout, or what another service reported."""
    eventid: str | None = None
    trace_id: str | None = None
    """The trace it happened in, if it was traced."""

    @classmethod
    def of(cls, json: Json) -> "OrderHistoryEntry":
        more = json.get("eventid"), json.get("trace_id")
        return cls(json["status"], json["time"], json["cause"], *more)


@dataclass(frozen=True, slots=True)
class Item:
    """Something for sale. At all times stock = available + reserved + sold."""

    itemid: str
    price: int
    """For one piece, in minor units of the currency."""
    stock: int
    available: int
    reserved: int
    sold: int
    waives_payment: bool
    """An order that contains it is not charged."""
    shards: int

    @classmethod
    def of(cls, json: Json) -> "Item":
        return cls(**{name: json[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """A move of an order at any service, or the end of them, as its event stream tells it."""

    id: str
    """All that was seen by then: what to go on from."""
    service: str | None
    """None: the end, after which nothing more happens to the order."""
    status: str
    time: str | None = None
    trace_id: str | None = None
    """The trace it happened in, if it was traced."""


def _items(json: Json) -> tuple[CartItem, ...]:
    return tuple(CartItem(item["itemid"], item["count"]) for item in json["cart_items"])
