"""The API's resources. Field names are those on the wire; a test compares them with the protos."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FINAL = frozenset({"approved", "reserve-failed", "payment-failed", "canceled"})
"""Statuses of an order that do not change any more; one that this version does not know is not among them."""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CartItem:
    """An item in a cart or an order, and its quantity."""

    itemid: str
    count: int


@dataclass(frozen=True, slots=True)
class Cart:
    """A cart; its items are in the order in which they were added."""

    cartid: str
    status: str
    """open, closed or checked-out."""
    cart_items: tuple[CartItem, ...]
    orderid: str | None = None
    """The order that the cart became; None before checkout."""

    @classmethod
    def of(cls, json: Json) -> "Cart":
        return cls(json["cartid"], json["status"], _items(json), json.get("orderid"))


@dataclass(frozen=True, slots=True)
class Order:
    """An order at the time of the response."""

    orderid: str
    status: str
    """pre-approved, reserved, approved, reserve-failed, payment-failed, canceled, or one of a newer API."""
    cart_items: tuple[CartItem, ...]
    amount: int | None = None
    """Amount to charge, in minor units of the currency; None before stock is reserved."""
    reason: str | None = None
    """Why the order failed; None if it did not."""

    @property
    def is_final(self) -> bool:
        """Whether the order is approved or has failed; its status does not change any more."""
        return self.status in FINAL

    @classmethod
    def of(cls, json: Json) -> "Order":
        return cls(json["orderid"], json["status"], _items(json), json.get("amount"), json.get("reason"))


@dataclass(frozen=True, slots=True)
class OrderHistoryEntry:
    """One change of an order."""

    status: str
    time: str
    """RFC 3339, UTC."""
    cause: str
    """checkout, client, timeout, or the status that another service reported."""
    eventid: str | None = None
    trace_id: str | None = None
    """The trace in which it happened; None if it was not traced."""

    @classmethod
    def of(cls, json: Json) -> "OrderHistoryEntry":
        optional = json.get("eventid"), json.get("trace_id")
        return cls(json["status"], json["time"], json["cause"], *optional)


@dataclass(frozen=True, slots=True)
class Item:
    """An item of the catalogue. At all times stock = available + reserved + sold."""

    itemid: str
    price: int
    """Price of one unit, in minor units of the currency."""
    stock: int
    available: int
    reserved: int
    sold: int
    waives_payment: bool
    """An order that contains this item is not charged."""
    shards: int

    @classmethod
    def of(cls, json: Json) -> "Item":
        return cls(**{name: json[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """An event of an order's stream: a service's event about the order, or the end of the stream."""

    id: str
    """Position in the stream; pass it as `last_event_id` to continue after this event."""
    service: str | None
    """The service that recorded the event; None at the end, after which nothing follows."""
    status: str
    time: str | None = None
    """RFC 3339, UTC; None at the end."""
    trace_id: str | None = None
    """The trace in which it happened; None if it was not traced."""


def _items(json: Json) -> tuple[CartItem, ...]:
    return tuple(CartItem(item["itemid"], item["count"]) for item in json["cart_items"])
