"""The Python client of the saga suite's API: async, typed, and safe to use if responses get lost.

`SagaClient` has a method for each action; `RetryPolicy` configures its retries. The methods return
the models; every error is a `SagaClientError`.
"""

from sagaclient.client import SagaClient
from sagaclient.errors import (
    APIStatusError,
    BadRequest,
    Conflict,
    Forbidden,
    IdempotencyKeyReused,
    InvalidResponseError,
    NotFound,
    SagaClientError,
    TransportError,
    Unauthenticated,
    Unavailable,
)
from sagaclient.models import Cart, CartItem, Item, Order, OrderEvent, OrderHistoryEntry
from sagaclient.retries import RetryPolicy

__all__ = [
    "APIStatusError",
    "BadRequest",
    "Cart",
    "CartItem",
    "Conflict",
    "Forbidden",
    "IdempotencyKeyReused",
    "InvalidResponseError",
    "Item",
    "NotFound",
    "Order",
    "OrderEvent",
    "OrderHistoryEntry",
    "RetryPolicy",
    "SagaClient",
    "SagaClientError",
    "TransportError",
    "Unauthenticated",
    "Unavailable",
]
