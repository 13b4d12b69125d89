"""The shop as an application of the kit: its error domain, operator scope, log fields and span attributes."""

from collections.abc import Mapping
from typing import Any

from sagakit.application import Application


def message_attributes(message: Any) -> Mapping[str, str]:
    """Return the order id of a request or response, for its span."""
    orderid = getattr(getattr(message, "order_ticket", message), "orderid", "")
    return {"orderid": orderid} if orderid else {}


SHOP = Application(
    error_domain="saga.example.com",
    operator_scope="saga.operator",
    log_fields=("orderid", "status", "eventid", "attempt"),
    dead_letter_reasons=("malformed-ticket", "unknown-order"),
    message_attributes=message_attributes,
)
