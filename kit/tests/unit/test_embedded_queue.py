"""Messages in the embedded database: a damaged one is delivered without attributes, and hides no other."""

import sqlite3

import pytest

from sagakit.backends.embedded import queue
from sagakit.backends.embedded.database import _SCHEMA
from sagakit.bus import Message, SubscriptionSpec

SPEC = SubscriptionSpec("one-service.things", "things", None)


@pytest.fixture
def db():
    connection = sqlite3.connect(":memory:")
    connection.executescript(_SCHEMA)
    connection.execute("INSERT INTO topic VALUES (?)", ("things",))
    queue.put_subscription(connection, SPEC)
    yield connection
    connection.close()


@pytest.mark.parametrize("damaged", ["", "{", "[1]", "null", "[" * 100_000])
def test_message_with_damaged_attributes_hides_no_other(db: sqlite3.Connection, damaged: str):
    queue.publish(db, "things", [Message(b"odd", {"eventid": "e1"}), Message(b"good", {"eventid": "e2"})], 0)
    db.execute("UPDATE message SET attributes = ? WHERE data = ?", (damaged, b"odd"))

    leases = queue.claim(db, SPEC, 10, 1)

    assert [(each.message.data, each.message.attributes) for each in leases] == [
        (b"odd", {}),
        (b"good", {"eventid": "e2"}),
    ]
