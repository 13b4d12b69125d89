"""The kit's metrics: what every event-driven service tells of itself."""

from collections.abc import Collection

from sagakit.telemetry.instruments import SECONDS, Counter, Gauge, Histogram

OTHER = "other"
"""Stands for whatever an attribute's known values do not name."""


def known(text: str, values: Collection[str]) -> str:
    """Which of `values` a text is or, before a colon, begins with; else OTHER."""
    value = text.partition(":")[0]
    return value if value in values else OTHER


CALL_DURATION = Histogram(
    "rpc.server.call.duration",
    SECONDS,
    "Calls answered, from the request to the status. Health checks are left out.",
    ("rpc.method", "rpc.response.status_code"),
)
SERVING = Gauge("saga.serving", "", "1 while the process says SERVING to health checks, else 0.")

TRANSACTION_DURATION = Histogram(
    "saga.transaction.duration",
    SECONDS,
    "Steps: lookup, decision and commit, with the waiting for one's turn and everything tried again.",
    ("outcome",),
    (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
COMMITTED, UNCHANGED, RAISED = "committed", "unchanged", "raised"

TRANSACTION_CONFLICTS = Counter(
    "saga.transactions.conflicts",
    "{commit}",
    "Commits that collided because another writer, or the same event, got there first.",
)

EVENT_DURATION = Histogram(
    "saga.event.duration",
    SECONDS,
    "Deliveries dealt with, from being handed over to being acknowledged or given back.",
    ("subscription", "outcome"),
)
NACKED, FAILED, PAUSED = "nacked", "failed", "paused"
"""Outcomes of deliveries that were given back: contention or time, a defect, a backend that is away."""

EVENT_AGE = Histogram(
    "saga.event.age",
    SECONDS,
    "How long ago an event was said when it was handed over. Events without a time are left out.",
    ("subscription",),
    (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0),
)
EVENTS_IN_FLIGHT = Gauge(
    "saga.events.in_flight",
    "{event}",
    "Deliveries that are neither acknowledged nor given back.",
    ("subscription",),
)
SUBSCRIPTION_ACTIVE = Gauge(
    "saga.subscription.active",
    "",
    "1 while a subscription is pulled; 0 while it is not, as where a backend is away.",
    ("subscription",),
)
CONSUMER_SATURATED = Gauge(
    "saga.consumer.saturated",
    "",
    "1 where the process had its hands full in the last seconds, or does not pull, else 0.",
)
DEAD_LETTERS = Counter(
    "saga.dead.letters", "{event}", "Events refused for good, each of them a dead letter.", ("reason",)
)
DEAD_LETTER_REASONS = (
    "no-eventid",
    "malformed-eventid",
    "malformed-ticket",
    "unknown-order",
    "unstorable",
    "unpublishable",
    OTHER,
)

PUBLISH_DURATION = Histogram(
    "saga.publish.duration",
    SECONDS,
    "Batches of events handed to the broker, until its answer.",
    ("outcome",),
)
OK, ERROR, UNAVAILABLE = "ok", "error", "unavailable"

PUBLISHED = Counter("saga.events.published", "{event}", "Events that the broker has taken.")
OUTBOX_DEPTH = Gauge(
    "saga.outbox.depth",
    "{event}",
    "Events in the outbox that the process knows of: those its relay has in hand, and those it gave up.",
)
OUTBOX_AGE = Gauge(
    "saga.outbox.oldest.age", SECONDS, "How long ago the oldest of these events was said; 0: there is none."
)

REMINDERS_OVERDUE = Gauge(
    "saga.reminders.overdue",
    "{entity}",
    "What has waited for an answer for longer than REMINDER_INTERVAL_SECONDS, as the process last saw it.",
    ("kind", "status", "age"),
)
REMINDERS_OVERDUE_AGE = Gauge(
    "saga.reminders.overdue.oldest.age",
    SECONDS,
    "How long the oldest of these has waited.",
    ("kind", "status"),
)
