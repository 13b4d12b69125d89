"""A status is accepted on the topic of a service that publishes it, and on no other."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from contract.reactions import ticket_handlers
from contract.shop import publishers
from contract.tickets import KNOWN, ORDER_TICKET, PUBLISHED_BY
from contract.topology import TOPOLOGY
from sagakit.consumer import Outcome
from sagakit.errors import Poison
from sagakit.events import Event
from sagakit.settings import SettingsError

ACCEPTED = {
    "purchase": {
        "stock": {"reserved", "reserve-failed", "paid"},
        "payment": {"paid", "payment-failed"},
        "delivery": {"delivery-arranged"},
    },
    "stock": {"purchase": {"pre-approved", "approved", "reserve-failed", "payment-failed", "canceled"}},
    "payment": {
        "stock": {"reserved", "reserve-failed", "paid"},
        "purchase": {"pre-approved", "approved", "reserve-failed", "payment-failed", "canceled"},
    },
    "delivery": {"purchase": {"pre-approved", "approved", "reserve-failed", "payment-failed", "canceled"}},
}
"""The table of docs/security.md, spelled out a second time: receiver → publisher → statuses."""


def an_event(status: str, topic: str) -> Event:
    return Event("e", ORDER_TICKET, json.dumps({"orderid": "o", "status": status}).encode(), topic=topic)


async def handle(service: str, event: Event) -> Outcome:
    async def apply(*_: Any) -> Outcome:
        return Outcome.APPLIED

    return await ticket_handlers(apply, publishers(TOPOLOGY.subscribed_topics(service)))[event.type](event)


@pytest.mark.parametrize("service", ACCEPTED)
async def test_status_is_accepted_from_its_publishers_only(service: str):
    accepted: Mapping[str, set[str]] = {
        publisher: set() for publisher in TOPOLOGY.service(service).subscribes_to
    }
    for publisher in TOPOLOGY.service(service).subscribes_to:
        for status in KNOWN:
            try:
                await handle(service, an_event(status, TOPOLOGY.topics[publisher]))
            except Poison as poison:
                assert poison.reason == f"not-published-by: {publisher} {status}"
            else:
                accepted[publisher].add(status)

    assert accepted == ACCEPTED[service]


@pytest.mark.parametrize("service", ACCEPTED)
async def test_status_that_no_version_so_far_publishes_is_unknown(service: str):
    for topic in TOPOLOGY.subscribed_topics(service):
        assert await handle(service, an_event("teleported", topic)) is Outcome.UNKNOWN


def test_topics_may_have_other_names_if_they_end_in_the_service():
    topics = ["staging.purchase", "com.example.stock", "payment"]

    assert publishers(topics) == dict(zip(topics, ("purchase", "stock", "payment"), strict=True))


@pytest.mark.parametrize(
    "topic", ["com.example.audit", "com.example.stock2", "stock.", "com.example.stock-v2"]
)
def test_topic_of_an_unknown_publisher_stops_the_start(topic: str):
    with pytest.raises(SettingsError, match=f"EVENT_SUBSCRIBE_TOPICS has '{topic}', which ends in none of"):
        publishers([topic])


def test_every_publisher_of_statuses_has_a_topic():
    topics = {TOPOLOGY.topics[service]: service for service in PUBLISHED_BY}

    assert publishers(topics) == topics
    assert ACCEPTED.keys() == PUBLISHED_BY.keys()
