"""The shop as an application of the kit: its names in errors and telemetry, and who publishes to a topic."""

from collections.abc import Iterable, Mapping
from typing import Any

from contract.reactions import NOT_PUBLISHED_BY, Publishers
from contract.tickets import CONTRADICTS_RECORD
from contract.topology import TOPOLOGY
from sagakit.application import Application
from sagakit.settings import SettingsError
from sagakit.topology import Topology


def message_attributes(message: Any) -> Mapping[str, str]:
    """Return the order id of a request or response, for its span."""
    orderid = getattr(getattr(message, "order_ticket", message), "orderid", "")
    return {"orderid": orderid} if orderid else {}


def publishers(topics: Iterable[str], topology: Topology = TOPOLOGY) -> Publishers:
    """Return the publishers by topic: the last part of a topic's name, which may differ in what precedes it.

    Raises SettingsError for a topic that names no service, since nothing on it can be trusted.
    """
    found = {topic: topic.rpartition(".")[2] for topic in topics}
    for topic, service in found.items():
        if service not in topology.topics:
            endings = ", ".join(f".{each}" for each in topology.topics)
            raise SettingsError("EVENT_SUBSCRIBE_TOPICS", f"has {topic!r}, which ends in none of {endings}")
    return found


SHOP = Application(
    error_domain="saga.example.com",
    operator_scope="saga.operator",
    log_fields=("orderid", "status", "eventid", "attempt"),
    dead_letter_reasons=(
        "malformed-ticket",
        NOT_PUBLISHED_BY,
        CONTRADICTS_RECORD,
    ),
    message_attributes=message_attributes,
)
