"""The SQL of the embedded backend works with old versions of SQLite, which a Python may be linked to."""

import re
from datetime import UTC, datetime
from pathlib import Path

from sagakit.backends.embedded.bus import EmbeddedBus, EmbeddedPullSubscription
from sagakit.backends.embedded.database import Database
from sagakit.backends.embedded.tables import EmbeddedTables
from sagakit.bus import SubscriptionSpec
from sagakit.runtime import Runtime
from sagakit.tables import Delete, Insert, Key, Update
from sagakit.testing.contracts.brokers import Listener, a_message, nack

KEY = Key("Thing", "a")
SPEC = SubscriptionSpec("one", "things", "dead-letter", max_delivery_attempts=1)

# https://sqlite.org/changes.html: upsert 3.24, window functions 3.25, NULLS FIRST 3.30, generated columns
# 3.31, RETURNING 3.35, STRICT 3.37, -> 3.38. Row values are of 3.15.
NEWER = re.compile(r"ON CONFLICT \(|\bOVER\b|NULLS (FIRST|LAST)|GENERATED|RETURNING|STRICT|->", re.IGNORECASE)


async def use_tables(database: Database) -> None:
    tables = EmbeddedTables(database)
    await tables.commit([Insert(KEY, {"due": "00:1", "expires_at": datetime.now(UTC)})])
    (row,) = (await tables.lookup([KEY])).values()
    await tables.commit([Update(KEY, {"due": "00:1"}, row.version)])
    await tables.due("Thing", "00:0", "00:2", 10)
    await tables.page("Thing", "", 10)
    await tables.commit([Delete(KEY)])
    await tables.expire(0, 10)


async def use_bus(database: Database) -> None:
    bus = EmbeddedBus(database, Runtime())
    for topic in ("things", "dead-letter"):
        await bus.ensure_topic(topic)
    for spec in (SPEC, SubscriptionSpec("dead", "dead-letter", None)):
        await bus.ensure_subscription(spec)
    pull = EmbeddedPullSubscription(database, Runtime(), "dead")
    listener = Listener(nack)
    bus.subscribe("one", listener, 10)
    await bus.publish("things", [a_message("1"), a_message("2")])
    await listener.has(2)
    await bus.close()
    held = await pull.pull(10)
    await pull.release(held[:1])
    await pull.acknowledge(held[1:])
    await bus.sweep("one")


async def test_no_statement_needs_a_recent_sqlite(tmp_path: Path):
    database, statements = Database(tmp_path / "data.sqlite3"), set()
    await database.read(lambda db: db.set_trace_callback(statements.add))

    await use_tables(database)
    await use_bus(database)
    await database.close()

    assert {each.split()[0] for each in statements} >= {"INSERT", "UPDATE", "SELECT", "DELETE"}
    assert [each for each in statements if NEWER.search(each)] == []
