"""The messages of the embedded bus as SQL: published, claimed under a lease, renewed, settled."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

from sagakit.bus import Message, SubscriptionSpec
from sagakit.errors import Unavailable
from sagakit.runtime import Backoff


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message under a lease; `attempt` tells this lease from earlier ones."""

    id: int
    message: Message
    attempt: int


def publish(db: sqlite3.Connection, topic: str, messages: Sequence[Message], now: float) -> list[str]:
    """A copy of each message for every subscription of the topic; returns their names."""
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


def put_subscription(db: sqlite3.Connection, spec: SubscriptionSpec) -> None:
    """There is such a subscription from now on; its topics must be there already, as in Pub/Sub."""
    _check_topic(db, spec.topic)
    if spec.dead_letter_topic is not None:
        _check_topic(db, spec.dead_letter_topic)
    # Whose process died is known here at once (`Waker.has_waiter`): nothing has to expire.
    *columns, _ = astuple(spec)
    db.execute("INSERT OR REPLACE INTO subscription VALUES (?, ?, ?, ?, ?, ?, ?)", columns)


def drop_subscription(db: sqlite3.Connection, name: str) -> None:
    db.execute("DELETE FROM subscription WHERE name = ?", (name,))
    db.execute("DELETE FROM message WHERE subscription = ?", (name,))


def names(db: sqlite3.Connection, prefix: str) -> list[str]:
    """The subscriptions whose names begin so."""
    return [name for (name,) in db.execute("SELECT name FROM subscription") if name.startswith(prefix)]


def _check_topic(db: sqlite3.Connection, topic: str) -> None:
    if db.execute("SELECT 1 FROM topic WHERE name = ?", (topic,)).fetchone() is None:
        raise Unavailable(f"there is no topic {topic}: has it been provisioned?")


def spec_of(db: sqlite3.Connection, name: str) -> SubscriptionSpec:
    row = db.execute("SELECT * FROM subscription WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise Unavailable(f"there is no subscription {name}: has it been provisioned?")
    return SubscriptionSpec(*row)


def claim(db: sqlite3.Connection, spec: SubscriptionSpec, limit: int, now: float) -> list[Claimed]:
    """Lease up to `limit` visible messages, the longest visible first."""
    rows = db.execute(
        "UPDATE message SET visible_at = ?, attempt = attempt + 1 WHERE id IN ("
        " SELECT id FROM message WHERE subscription = ? AND visible_at <= ? ORDER BY visible_at, id LIMIT ?"
        ") RETURNING id, data, attributes, attempt",
        (now + spec.ack_deadline_seconds, spec.name, now, limit),
    ).fetchall()
    return _claimed(rows)


def next_visible(db: sqlite3.Connection, name: str) -> float | None:
    """When the next message can be claimed, if there is one at all."""
    (when,) = db.execute("SELECT MIN(visible_at) FROM message WHERE subscription = ?", (name,)).fetchone()
    return None if when is None else float(when)


def renew(db: sqlite3.Connection, claims: Iterable[Claimed], until: float) -> None:
    db.executemany(
        "UPDATE message SET visible_at = ? WHERE id = ? AND attempt = ?",
        [(until, claimed.id, claimed.attempt) for claimed in claims],
    )


def ack(db: sqlite3.Connection, claims: Iterable[Claimed]) -> None:
    remove(db, [claimed.id for claimed in claims])


def remove(db: sqlite3.Connection, ids: Iterable[int]) -> None:
    db.executemany("DELETE FROM message WHERE id = ?", [(each,) for each in ids])


def release(db: sqlite3.Connection, ids: Iterable[int]) -> None:
    """As they were before they were claimed."""
    db.executemany(
        "UPDATE message SET visible_at = 0, attempt = attempt - 1 WHERE id = ?", [(each,) for each in ids]
    )


def nack(db: sqlite3.Connection, spec: SubscriptionSpec, claims: Iterable[Claimed], now: float) -> list[str]:
    """Visible again after a pause that doubles, or moved to the dead letters after the last attempt.

    Returns the subscriptions that got a dead letter.
    """
    pauses = Backoff(spec.min_retry_seconds, spec.max_retry_seconds, spec.max_delivery_attempts)
    woken: list[str] = []
    for claimed in claims:
        if spec.dead_letter_topic and claimed.attempt >= spec.max_delivery_attempts:
            woken += publish(db, spec.dead_letter_topic, [_dead_letter(spec, claimed)], now)
            ack(db, [claimed])
        else:
            renew(db, [claimed], now + pauses.max_delay(claimed.attempt - 1))
    return woken


def move_to_dead_letter(db: sqlite3.Connection, spec: SubscriptionSpec, now: float) -> list[str]:
    """Moves to the dead letters what was never given back: it may be what its holders died of.

    Returns the subscriptions that got a dead letter.
    """
    if not spec.dead_letter_topic:
        return []
    rows = db.execute(
        "DELETE FROM message WHERE subscription = ? AND visible_at <= ? AND attempt >= ?"
        " RETURNING id, data, attributes, attempt",
        (spec.name, now, spec.max_delivery_attempts),
    ).fetchall()
    letters = [_dead_letter(spec, claimed) for claimed in _claimed(rows)]
    return publish(db, spec.dead_letter_topic, letters, now) if letters else []


def _claimed(rows: Iterable[tuple[int, bytes, str, int]]) -> list[Claimed]:
    return [Claimed(id_, Message(data, json.loads(text)), attempt) for id_, data, text, attempt in rows]


def _dead_letter(spec: SubscriptionSpec, claimed: Claimed) -> Message:
    """Marked as Pub/Sub marks what it forwards."""
    marks = {
        "CloudPubSubDeadLetterSourceSubscription": spec.name,
        "CloudPubSubDeadLetterSourceDeliveryCount": str(claimed.attempt),
    }
    return Message(claimed.message.data, {**claimed.message.attributes, **marks})
