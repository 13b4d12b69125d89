"""A service ignores by an attribute the statuses that it has no reaction to, and only on their topic."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import pytest

from contract.tickets import KNOWN, CartItem, TicketMessage, ticket_event
from contract.topology import TOPOLOGY
from sagakit.backends.gcp.filters import filter_of
from sagakit.ctl.load import provisioned
from sagakit.runtime import Runtime
from sagakit.service import Kit, Service

IGNORED: Mapping[str, Mapping[str, set[str]]] = {
    "purchase": {"stock": set(), "payment": set(), "delivery": set()},
    "stock": {"purchase": set()},
    "payment": {"stock": {"paid"}, "purchase": {"pre-approved"}},
    "delivery": {"purchase": {"pre-approved", "payment-failed", "canceled", "reserve-failed"}},
}
"""Receiver → publisher → statuses."""


def built(service: str) -> Service:
    """Return the parts of a service as its process runs it; nothing is called."""
    nothing: Any = None
    kit = Kit(nothing, nothing, Runtime(), nothing, nothing, TOPOLOGY.subscribed_topics(service), environ={})
    found: Service = import_module(f"services.{service}.__main__").build(kit)
    return found


@pytest.mark.parametrize("service", TOPOLOGY.names)
def test_service_ignores_what_it_has_no_reaction_to(service: str):
    ignores = built(service).ignores

    def is_ignored(status: str, topic: str) -> bool:
        event = ticket_event(TicketMessage("o", status, (CartItem("blue", 3),)), "e", 0)
        return topic in ignores and ignores[topic].includes(event.to_message().attributes)

    for publisher in TOPOLOGY.service(service).subscribes_to:
        topic = TOPOLOGY.topics[publisher]
        found = {status for status in (*KNOWN, "teleported") if is_ignored(status, topic)}
        assert found == IGNORED[service][publisher]


def test_subscriptions_withhold_what_their_services_ignore():
    """Provisioning, which starts no service, takes it from the declaration."""
    *specs, _ = provisioned(TOPOLOGY)

    for spec in specs:
        service = spec.name.partition("-service.")[0]
        assert spec.ignored == built(service).ignores.get(spec.topic)


def test_every_ignored_status_fits_into_the_filter_of_its_subscription():
    for ignored in filter(None, (spec.ignored for spec in provisioned(TOPOLOGY))):
        assert all(f'"{status}"' in filter_of(ignored) for status in ignored.values)


def test_published_event_has_its_status_as_an_attribute():
    event = ticket_event(TicketMessage("o", "paid", ()), "e", 0, is_reminder=True)

    assert event.to_message().attributes == {
        "eventid": "e",
        "type": "purchase.OrderTicket",
        "time": "1970-01-01T00:00:00.000Z",
        "status": "paid",
        "again": "true",
    }
