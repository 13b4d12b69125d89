"""`Tables` over the embedded database, with the optimistic rules of Datastore."""

import base64
import json
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sagakit.backends.embedded.database import Database
from sagakit.errors import Contention, Poison
from sagakit.tables import (
    DUE,
    EXPIRES_AT,
    UNREADABLE,
    UNSTORABLE,
    Delete,
    Entity,
    Insert,
    Key,
    Mutation,
    Row,
    Update,
    check_lookup,
    check_name,
)

MAX_ENTITY_BYTES = 1024 * 1024


class EmbeddedTables:
    """Entities as JSON, one row each."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def lookup(self, keys: Sequence[Key]) -> dict[Key, Row]:
        check_lookup(keys)

        def work(connection: sqlite3.Connection) -> dict[Key, Row]:
            found = {}
            for key in keys:
                row = connection.execute(
                    "SELECT body, version FROM entity WHERE kind = ? AND name = ?", key
                ).fetchone()
                if row is not None:
                    found[key] = Row(_load(row[0]), row[1])
            return found

        return await self._database.read(work)

    async def commit(self, mutations: Sequence[Mutation]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            # Never used twice, so that an entity that was deleted and inserted again has a new version.
            connection.execute("UPDATE sequence SET version = version + 1")
            (version,) = connection.execute("SELECT version FROM sequence").fetchone()
            for mutation in mutations:
                _apply(connection, mutation, version)

        await self._database.write(work)

    async def due(self, kind: str, start: str, end: str, limit: int) -> list[tuple[Key, Row]]:
        return await self._select(kind, "due >= ? AND due < ? ORDER BY due", start, end, limit)

    async def page(self, kind: str, after: str, limit: int) -> list[tuple[Key, Row]]:
        return await self._select(kind, "name > ? ORDER BY name", after, limit)

    async def _select(self, kind: str, condition: str, *values: str | int) -> list[tuple[Key, Row]]:
        query = f"SELECT name, body, version, due FROM entity WHERE kind = ? AND {condition} LIMIT ?"

        def work(connection: sqlite3.Connection) -> list[tuple[Key, Row]]:
            rows = connection.execute(query, (kind, *values))
            return [(Key(kind, name), Row(_load(body, due), version)) for name, body, version, due in rows]

        return await self._database.read(work)

    async def expire(self, now: float, limit: int) -> int:
        def work(connection: sqlite3.Connection) -> int:
            return connection.execute(
                "DELETE FROM entity WHERE (kind, name) IN"
                " (SELECT kind, name FROM entity WHERE expires_at < ? LIMIT ?)",
                (now, limit),
            ).rowcount

        return await self._database.write(work)


def _apply(connection: sqlite3.Connection, mutation: Mutation, version: int) -> None:
    kind, name = mutation.key
    check_name(name)
    match mutation:
        case Insert(_, entity):
            changed = connection.execute(
                "INSERT OR IGNORE INTO entity (kind, name, version, body, due, expires_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (kind, name, version, _dump(entity), entity.get(DUE), _expiry(entity)),
            ).rowcount
        case Update(_, entity, read_version):
            changed = connection.execute(
                "UPDATE entity SET version = ?, body = ?, due = ?, expires_at = ?"
                " WHERE kind = ? AND name = ? AND version = ?",
                (version, _dump(entity), entity.get(DUE), _expiry(entity), kind, name, read_version),
            ).rowcount
        case Delete():
            connection.execute("DELETE FROM entity WHERE kind = ? AND name = ?", (kind, name))
            return
    if not changed:
        raise Contention(f"{kind} {name}")


def _expiry(entity: Entity) -> float | None:
    when = entity.get(EXPIRES_AT)
    return when.timestamp() if isinstance(when, datetime) else None


def _dump(entity: Entity) -> str:
    body = json.dumps(entity, default=_tagged)
    if len(body) > MAX_ENTITY_BYTES:
        raise Poison(f"{UNSTORABLE}: an entity of {len(body)} bytes")
    return body


def _load(body: str, due: str | None = None) -> dict[str, Any]:
    try:
        loaded = json.loads(body, object_hook=_untagged)
        why = "" if isinstance(loaded, dict) else "no JSON object"
    except (ValueError, TypeError, RecursionError) as error:
        why = f"damaged JSON: {error}"
    # A reader of several entities gets the others.
    return {UNREADABLE: why, **({} if due is None else {DUE: due})} if why else loaded


def _tagged(value: object) -> dict[str, str]:
    match value:
        case datetime():
            return {"$time": value.isoformat()}
        case bytes():
            return {"$bytes": base64.b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} cannot be stored")


def _untagged(value: dict[str, Any]) -> Any:
    if "$time" in value:
        return datetime.fromisoformat(value["$time"])
    if "$bytes" in value:
        return base64.b64decode(value["$bytes"])
    return value
