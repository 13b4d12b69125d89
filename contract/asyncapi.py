"""The events of the shop as an AsyncAPI document, from the topology and the ticket's contract."""

from collections.abc import Mapping
from typing import Any

from contract.fields import ID_PATTERN, MAX_AMOUNT, MAX_COUNT, MAX_ITEMS_PER_CART
from contract.tickets import (
    MAX_REASON_LENGTH,
    MAX_STATUS_LENGTH,
    ORDER_TICKET,
    PUBLISHED_BY,
    STATUS_ATTRIBUTE,
)
from contract.topology import TOPOLOGY
from sagakit import asyncapi
from sagakit.events import REMINDER_ATTRIBUTE

_ID = {"type": "string", "pattern": ID_PATTERN}
CART_ITEM: Mapping[str, Any] = {
    "type": "object",
    "required": ["itemid", "count"],
    "properties": {
        "itemid": _ID,
        "count": {"type": "integer", "minimum": 1, "maximum": MAX_COUNT},
    },
}
ORDER_TICKET_BODY: Mapping[str, Any] = {
    "type": "object",
    "description": "Receivers ignore fields that they do not know.",
    "required": ["orderid", "status", "cart_items"],
    "properties": {
        "orderid": _ID,
        "status": {
            "type": "string",
            "maxLength": MAX_STATUS_LENGTH,
            "description": "What happened to the order.",
        },
        "cart_items": {
            "type": "array",
            "maxItems": MAX_ITEMS_PER_CART,
            "items": {"$ref": "#/components/schemas/CartItem"},
        },
        "amount": {
            "type": "integer",
            "minimum": 0,
            "maximum": MAX_AMOUNT,
            "description": "Amount to charge, in minor units of the currency.",
        },
        "reason": {"type": "string", "maxLength": MAX_REASON_LENGTH, "description": "Why the order failed."},
        "owner_digest": {
            "type": "string",
            "description": "With authentication: a digest of the order's owner; a reply passes it on.",
        },
    },
}
_REMINDER = {
    "const": "true",
    "description": "Marks a reminder: the publisher awaits a reply, which a receiver publishes again.",
}
_STATUS = {
    "type": "string",
    "description": "As in the payload: a receiver without a reaction to it need not decode the event.",
}
_INFO = {
    "title": "Order events",
    "version": "1",
    "description": (
        "What happens to an order ticket, as the services report it to each other. Delivery is at least once "
        "and in any order: receivers ignore an eventid that they have applied, and acknowledge statuses that "
        "they do not know."
    ),
    "license": {"name": "Apache-2.0"},
}
_EXAMPLE = {"orderid": "o-1", "cart_items": [{"itemid": "blue", "count": 3}]}


def document() -> dict[str, Any]:
    """Return the AsyncAPI document of the shop."""
    events = {service: [_event(service)] for service in TOPOLOGY.topics if service in PUBLISHED_BY}
    return asyncapi.document(TOPOLOGY, events, _INFO)


def _event(service: str) -> asyncapi.EventDescription:
    statuses = sorted(PUBLISHED_BY[service])
    return asyncapi.EventDescription(
        ORDER_TICKET,
        f"An order ticket, as {service} reports it",
        {
            "allOf": [
                {"$ref": "#/components/schemas/OrderTicket"},
                {"properties": {"status": {"enum": statuses}}},
            ]
        },
        headers={REMINDER_ATTRIBUTE: _REMINDER, STATUS_ATTRIBUTE: _STATUS},
        correlation="/orderid",
        examples=[{**_EXAMPLE, "status": status} for status in statuses],
        schemas={"CartItem": CART_ITEM, "OrderTicket": ORDER_TICKET_BODY},
    )
