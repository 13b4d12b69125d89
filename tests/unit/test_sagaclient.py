"""The client agrees with the services: fields of its models, and how long a stream may be silent."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, get_args

import pytest

from rpc import purchase_pb2, stock_pb2
from sagaclient import Cart, CartItem, Item, Order, OrderHistoryEntry
from sagaclient.events import SILENCE_TIMEOUT_SECONDS
from services.gateway.settings import StreamLimits

MODELS: Sequence[tuple[type, Any]] = (
    (CartItem, purchase_pb2.CartItem),
    (Cart, purchase_pb2.Cart),
    (Order, purchase_pb2.OrderTicket),
    (OrderHistoryEntry, purchase_pb2.OrderHistoryEntry),
    (Item, stock_pb2.Item),
)
PYTHON_TYPES: dict[int, type] = {9: str, 3: int, 8: bool}


@pytest.mark.parametrize(("model", "message"), MODELS, ids=lambda each: each.__name__)
def test_model_has_the_fields_and_types_of_its_message(model, message):
    described = message.DESCRIPTOR.fields

    assert [each.name for each in fields(model)] == [field.name for field in described]
    for own, field in zip(fields(model), described, strict=True):
        types = get_args(own.type) or (own.type,)
        expected = CartItem if field.message_type else PYTHON_TYPES[field.type]
        assert types[0] is expected
        assert (type(None) in types) == (field.has_presence and not field.message_type)


def test_a_healthy_stream_is_never_silent_for_too_long():
    assert 2 * StreamLimits().heartbeat_seconds <= SILENCE_TIMEOUT_SECONDS
