"""The metrics that every event-driven service has."""

from collections.abc import Collection

from sagakit.telemetry.instruments import SECONDS, Counter, Gauge, Histogram

OTHER = "other"
"""Stands for every value that is not among an attribute's known ones."""


COUNTS = (1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 50.0, 100.0)


def known(text: str, values: Collection[str]) -> str:
    """Return the text up to its first colon if that is one of `values`, else OTHER."""
    value = text.partition(":")[0]
    return value if value in values else OTHER


CALL_DURATION = Histogram(
    "rpc.server.call.duration",
    SECONDS,
    "Duration of calls, from the request to the status, without health checks and reflection.",
    ("rpc.method", "rpc.response.status_code"),
)
SERVING = Gauge("saga.serving", "", "1 while the service works and events reach it, else 0.")

TRANSACTION_DURATION = Histogram(
    "saga.transaction.duration",
    SECONDS,
    "Duration of a transaction (read, decide, commit), including lock waits and retries.",
    ("outcome",),
    (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
COMMITTED, UNCHANGED, RAISED = "committed", "unchanged", "raised"

TRANSACTION_CONFLICTS = Counter(
    "saga.transactions.conflicts",
    "{commit}",
    "Commits that failed because another writer, or a duplicate of the event, committed first.",
)

LOOKUP_KEYS = Histogram(
    "saga.lookup.keys", "{key}", "Keys of a call of Lookup, which several transactions may share.", (), COUNTS
)
COMMIT_TRANSACTIONS = Histogram(
    "saga.commit.transactions", "{transaction}", "Transactions that share a call of Commit.", (), COUNTS
)

EVENT_DURATION = Histogram(
    "saga.event.duration",
    SECONDS,
    "Duration of deliveries, from their receipt until they are acknowledged or nacked.",
    ("subscription", "outcome"),
)

EVENT_AGE = Histogram(
    "saga.event.age",
    SECONDS,
    "Age of events when they are received, by their `time`; without those that have none, or that are "
    "ignored by their attributes.",
    ("subscription",),
    (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0),
)
EVENTS_IN_FLIGHT = Gauge(
    "saga.events.in_flight",
    "{event}",
    "Deliveries received and neither acknowledged nor nacked.",
    ("subscription",),
)
SUBSCRIPTION_ACTIVE = Gauge(
    "saga.subscription.active",
    "",
    "1 while a subscription is pulled; 0 while it is not, for example if a backend is unavailable.",
    ("subscription",),
)
CONSUMER_SATURATED = Gauge(
    "saga.consumer.saturated",
    "",
    "1 if a subscription was at its flow-control limit in the last 5 s, or is not pulled, else 0.",
)
DEAD_LETTERS = Counter(
    "saga.dead.letters",
    "{event}",
    "Events that can never be applied and were published as dead letters.",
    ("reason",),
)
DEAD_LETTER_REASONS = (
    "no-eventid",
    "malformed-eventid",
    "malformed-body",
    "corrupt-entity",
    "structured-cloudevent",
    "unstorable",
    "unpublishable",
    OTHER,
)
"""The kit's own; those of `Application.dead_letter_reasons` and `Service.dead_letter_reasons` are added."""

PUBLISH_DURATION = Histogram(
    "saga.publish.duration",
    SECONDS,
    "Duration of publishing a batch of events, until the broker's answer.",
    ("outcome",),
)
OK, ERROR, UNAVAILABLE = "ok", "error", "unavailable"

PUBLISHED = Counter("saga.events.published", "{event}", "Events that the broker has accepted.")
OUTBOX_DEPTH = Gauge(
    "saga.outbox.depth",
    "{event}",
    "Events in the outbox that the process knows of: those in its relay, and those its relay gave up.",
)
OUTBOX_AGE = Gauge(
    "saga.outbox.oldest.age", SECONDS, "Age of the oldest of these events; 0 if the outbox is empty."
)

ROWS_FAILED = Counter(
    "saga.rows.failed",
    "{row}",
    "Failures of the work on one stored row (a reminder, an unpublished event), which is left as it is.",
    ("kind",),
)

TASKS_FAILED = Counter(
    "saga.tasks.failed",
    "{failure}",
    "Exceptions of a service's background tasks, after each of which the task is restarted.",
    ("task",),
)

REMINDERS_OVERDUE = Gauge(
    "saga.reminders.overdue",
    "{entity}",
    "Entities that had waited for a reply for longer than REMINDER_INTERVAL_SECONDS when last seen.",
    ("kind", "status", "age"),
)
REMINDERS_OVERDUE_AGE = Gauge(
    "saga.reminders.overdue.oldest.age",
    SECONDS,
    "How long the oldest of these entities has waited.",
    ("kind", "status"),
)
