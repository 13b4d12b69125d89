"""The messages of the embedded bus in SQL: published, leased, renewed, settled.

`visible_at` is monotonic time, which the processes of a machine share, and which no step of the wall clock
delays. It is never further ahead than a lease or a retry delay unless the machine was restarted, which begins
it anew: such a message is visible.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields

from sagakit.bus import Message, SubscriptionSpec
from sagakit.errors import Unavailable
from sagakit.runtime import Backoff

MARGIN_SECONDS = 60
"""Longer than a transaction may wait after its process has read the clock."""
COLUMNS = 7
"""Of the table of subscriptions: the first fields of SubscriptionSpec."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A leased message; `attempt` distinguishes this lease from earlier ones."""

    id: int
    message: Message
    attempt: int


def publish(db: sqlite3.Connection, topic: str, messages: Sequence[Message], now: float) -> list[str]:
    """Store a copy of each message for every subscription of the topic, and return their names.

    Raises Unavailable if the topic does not exist.
    """
    _check_topic(db, topic)
    names = [name for (name,) in db.execute("SELECT name FROM subscription WHERE topic = ?", (topic,))]
    db.executemany(
        "INSERT INTO message (subscription, data, attributes, visible_at) VALUES (?, ?, ?, ?)",
        [
            (name, message.data, json.dumps(dict(message.attributes)), now)
            for name in names
            for message in messages
        ],
    )
    return names


def put_subscription(db: sqlite3.Connection, spec: SubscriptionSpec) -> str:
    """Create or update the subscription; return what was changed, "" if nothing was.

    Raises Unavailable if one of its topics does not exist.
    """
    _check_topic(db, spec.topic)
    if spec.dead_letter_topic is not None:
        _check_topic(db, spec.dead_letter_topic)
    # Expiry is not needed: `Waker.has_waiter` shows at once whether a process is alive. Nor is a filter: what
    # a service ignores is delivered, and acknowledged at once.
    columns = astuple(spec)[:COLUMNS]
    before = db.execute("SELECT * FROM subscription WHERE name = ?", (spec.name,)).fetchone()
    names = [each.name for each in fields(spec)]
    changed = [name for name, old, new in zip(names, before or (), columns, strict=False) if old != new]
    db.execute("INSERT OR REPLACE INTO subscription VALUES (?, ?, ?, ?, ?, ?, ?)", columns)
    return f"updated {', '.join(changed)}" if changed else ""


def subscription_problem(db: sqlite3.Connection, name: str) -> str | None:
    """Return why the subscription gets no messages; None if it gets what is published."""
    row = db.execute("SELECT topic FROM subscription WHERE name = ?", (name,)).fetchone()
    if row is None:
        return f"subscription {name} does not exist: has it been provisioned?"
    if db.execute("SELECT 1 FROM topic WHERE name = ?", row).fetchone() is None:
        return f"the topic of subscription {name} was deleted: provision again"
    return None


def drop_subscription(db: sqlite3.Connection, name: str) -> None:
    """Delete the subscription and its messages."""
    db.execute("DELETE FROM subscription WHERE name = ?", (name,))
    db.execute("DELETE FROM message WHERE subscription = ?", (name,))


def subscription_names(db: sqlite3.Connection, prefix: str) -> list[str]:
    """Return the names of the subscriptions with that prefix."""
    return [name for (name,) in db.execute("SELECT name FROM subscription") if name.startswith(prefix)]


def _check_topic(db: sqlite3.Connection, topic: str) -> None:
    if db.execute("SELECT 1 FROM topic WHERE name = ?", (topic,)).fetchone() is None:
        raise Unavailable(f"topic {topic} does not exist: has it been provisioned?")


def subscription_spec(db: sqlite3.Connection, name: str) -> SubscriptionSpec:
    """Return the settings of a subscription. Raises Unavailable if it does not exist."""
    row = db.execute("SELECT * FROM subscription WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise Unavailable(f"subscription {name} does not exist: has it been provisioned?")
    return SubscriptionSpec(*row)


def claim(db: sqlite3.Connection, spec: SubscriptionSpec, limit: int, now: float) -> list[Lease]:
    """Lease up to `limit` visible messages, the longest visible first."""
    max_delay = max(spec.ack_deadline_seconds, spec.max_retry_seconds) + MARGIN_SECONDS
    rows = db.execute(
        "SELECT id, data, attributes, attempt + 1 FROM message"
        " WHERE subscription = ? AND (visible_at <= ? OR visible_at > ?) ORDER BY visible_at, id LIMIT ?",
        (spec.name, now, now + max_delay, limit),
    )
    leases = _leases(rows)
    db.executemany(
        "UPDATE message SET visible_at = ?, attempt = ? WHERE id = ?",
        [(now + spec.ack_deadline_seconds, lease.attempt, lease.id) for lease in leases],
    )
    return leases


def next_visible(db: sqlite3.Connection, name: str) -> float | None:
    """Return the time when the next message becomes visible; None if the subscription has none."""
    (when,) = db.execute("SELECT MIN(visible_at) FROM message WHERE subscription = ?", (name,)).fetchone()
    return None if when is None else float(when)


def renew(db: sqlite3.Connection, leases: Iterable[Lease], until: float) -> None:
    """Extend the leases that have not been taken over."""
    db.executemany(
        "UPDATE message SET visible_at = ? WHERE id = ? AND attempt = ?",
        [(until, lease.id, lease.attempt) for lease in leases],
    )


def extend(db: sqlite3.Connection, ids: Iterable[int], until: float) -> None:
    """Extend the leases of messages that were pulled by hand."""
    db.executemany("UPDATE message SET visible_at = ? WHERE id = ?", [(until, each) for each in ids])


def remove(db: sqlite3.Connection, ids: Iterable[int]) -> None:
    """Delete acknowledged messages."""
    db.executemany("DELETE FROM message WHERE id = ?", [(each,) for each in ids])


def release(db: sqlite3.Connection, ids: Iterable[int]) -> None:
    """End the leases; the messages' attempts count as before them."""
    db.executemany(
        "UPDATE message SET visible_at = 0, attempt = attempt - 1 WHERE id = ?", [(each,) for each in ids]
    )


def nack(db: sqlite3.Connection, spec: SubscriptionSpec, leases: Iterable[Lease], now: float) -> list[str]:
    """Make messages visible after a delay that doubles, or dead letters after the last attempt.

    Return the subscriptions of the dead letters.
    """
    backoff = Backoff(spec.min_retry_seconds, spec.max_retry_seconds, spec.max_delivery_attempts)
    woken: list[str] = []
    for lease in leases:
        if spec.dead_letter_topic and lease.attempt >= spec.max_delivery_attempts:
            woken += publish(db, spec.dead_letter_topic, [_dead_letter(spec, lease)], now)
            remove(db, [lease.id])
        else:
            renew(db, [lease], now + backoff.max_delay(lease.attempt - 1))
    return woken


def move_to_dead_letter(db: sqlite3.Connection, spec: SubscriptionSpec, now: float) -> list[str]:
    """Move messages whose last lease expired to the dead letters: they may have crashed its holders.

    Return the subscriptions of the dead letters.
    """
    if not spec.dead_letter_topic:
        return []
    rows = db.execute(
        "SELECT id, data, attributes, attempt FROM message"
        " WHERE subscription = ? AND visible_at <= ? AND attempt >= ?",
        (spec.name, now, spec.max_delivery_attempts),
    )
    expired = _leases(rows)
    remove(db, [lease.id for lease in expired])
    dead_letters = [_dead_letter(spec, lease) for lease in expired]
    return publish(db, spec.dead_letter_topic, dead_letters, now) if dead_letters else []


def _leases(rows: Iterable[tuple[int, bytes, str, int]]) -> list[Lease]:
    return [Lease(id_, Message(data, _attributes(text)), attempt) for id_, data, text, attempt in rows]


def _attributes(text: str) -> dict[str, str]:
    """Return attributes; none if they are damaged: without an eventid the message becomes a dead letter."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return {name: str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _dead_letter(spec: SubscriptionSpec, lease: Lease) -> Message:
    """Return the message with the attributes that Pub/Sub adds to dead letters."""
    marks = {
        "CloudPubSubDeadLetterSourceSubscription": spec.name,
        "CloudPubSubDeadLetterSourceDeliveryCount": str(lease.attempt),
    }
    return Message(lease.message.data, {**lease.message.attributes, **marks})
