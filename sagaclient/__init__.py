"""The Python client of the saga suite's API: async, typed, and safe to use where answers get lost."""

from sagaclient.client import SagaClient
from sagaclient.errors import (
    BadAnswer,
    Conflict,
    KeyReused,
    Malformed,
    NoAnswer,
    NotAllowed,
    NotFound,
    NotSignedIn,
    Refused,
    SagaClientError,
    Unavailable,
)
from sagaclient.models import Cart, CartItem, Item, Order, OrderEvent, OrderMove
from sagaclient.retries import Retries

__all__ = [
    "BadAnswer",
    "Cart",
    "CartItem",
    "Conflict",
    "Item",
    "KeyReused",
    "Malformed",
    "NoAnswer",
    "NotAllowed",
    "NotFound",
    "NotSignedIn",
    "Order",
    "OrderEvent",
    "OrderMove",
    "Refused",
    "Retries",
    "SagaClient",
    "SagaClientError",
    "Unavailable",
]
