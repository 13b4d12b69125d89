"""Topics and subscriptions of every service.

`sagactl provision`, the local supervisor, the manifests and the tests are derived from or checked against it.
"""

from collections.abc import Mapping

from sagakit.bus import subscription_name

TOPICS: Mapping[str, str] = {
    "purchase": "com.example.purchase",
    "stock": "com.example.stock",
    "payment": "com.example.payment",
    "delivery": "com.example.delivery",
}

SUBSCRIBES_TO: Mapping[str, tuple[str, ...]] = {
    "purchase": ("stock", "payment", "delivery"),
    "stock": ("purchase",),
    "payment": ("stock", "purchase"),
    "delivery": ("purchase",),
}

EPHEMERAL_PREFIX = "ephemeral-"
"""Name prefix of ephemeral subscriptions: one per gateway process and topic, deleted when it stops."""

DEAD_LETTER_TOPIC = "com.example.dead-letter"
DEAD_LETTER_SUBSCRIPTION = "dead-letter"


def subscribed_topics(service: str) -> tuple[str, ...]:
    """Return the topics `service` subscribes to, in the order of `EVENT_SUBSCRIBE_TOPICS`."""
    return tuple(TOPICS[publisher] for publisher in SUBSCRIBES_TO[service])


def subscriptions() -> dict[str, str]:
    """Return every service subscription: name → topic. The dead-letter subscription is not included."""
    return {
        subscription_name(service, topic): topic
        for service in SUBSCRIBES_TO
        for topic in subscribed_topics(service)
    }


def ephemeral_subscription_name(processid: str, topic: str) -> str:
    """Return the name of one process's own subscription to a topic, which receives every message."""
    return f"{EPHEMERAL_PREFIX}{processid}.{topic}"
