"""Who publishes where and who listens to what: the one list of topics and subscriptions.

`sagactl provision`, the local supervisor, the manifests and the tests are derived from it or checked
against it.
"""

from sagakit.bus import subscription_name

TOPICS = {
    "purchase": "com.example.purchase",
    "stock": "com.example.stock",
    "payment": "com.example.payment",
    "delivery": "com.example.delivery",
}

LISTENS_TO = {
    "purchase": ("stock", "payment", "delivery"),
    "stock": ("purchase",),
    "payment": ("stock", "purchase"),
    "delivery": ("purchase",),
}

EPHEMERAL_PREFIX = "ephemeral-"
"""Begins the names of the subscriptions that gateways make for themselves, one per process and topic."""

DEAD_LETTER_TOPIC = "com.example.dead-letter"
DEAD_LETTER_SUBSCRIPTION = "dead-letter"


def subscribed_topics(service: str) -> tuple[str, ...]:
    """The topics `service` hears, in the order of `EVENT_SUBSCRIBE_TOPICS`."""
    return tuple(TOPICS[publisher] for publisher in LISTENS_TO[service])


def subscriptions() -> dict[str, str]:
    """Every subscription of the suite, by name, with its topic; the dead letters' own is not among them."""
    return {
        subscription_name(service, topic): topic
        for service in LISTENS_TO
        for topic in subscribed_topics(service)
    }


def ephemeral_subscription_name(processid: str, topic: str) -> str:
    """The subscription of one gateway process to a topic, which hears all of it."""
    return f"{EPHEMERAL_PREFIX}{processid}.{topic}"
