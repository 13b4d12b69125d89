"""Record what a suite stores, publishes and answers while orders end in every way; and store it again."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import httpx

from contract.topology import TOPOLOGY
from sagakit.backends import Backend
from sagakit.bus import Message
from sagakit.tables import Delete, Entity, Insert, Key, Mutation, Tables
from tests.compatibility.reader import decoded
from tests.golden.suite import gateway
from tests.support.eventually import eventually
from tests.support.newer_release import NewerRelease
from tests.support.suite import Suite, running_suite

COMMITS, EVENTS, ANSWERS = "commits.jsonl", "events.jsonl", "answers.jsonl"
QUICK = {"REMINDER_INTERVAL_SECONDS": "0.5", "SWEEP_SECONDS": "0.2"}
BASKETS: Mapping[str, Mapping[str, int]] = {
    "paid": {"blue": 3},
    "free": {"red": 1},
    "mixed": {"blue": 1, "red": 2},
    "declined": {"gold": 1},
    "sold-out": {"yellow": 1},
    "canceled": {"blue": 2},
    "canceled-at-once": {"blue": 1},
}
HELD_BACK = {"canceled": ("paid", {"blue": 2}), "canceled-at-once": ("reserved", {"blue": 1})}
"""Orders that are canceled once reminders were published: the status that the broker loses, and the items."""
REMINDING = {"canceled": "stock", "canceled-at-once": "purchase"}
"""A service that must be among those that have published a reminder by then."""


@dataclass
class Recording:
    """The commits, messages and answers of a run, in order."""

    commits: list[tuple[Key, Entity | None]] = field(default_factory=list)
    """None: deleted."""
    events: list[tuple[str, Message]] = field(default_factory=list)
    answers: list[Mapping[str, Any]] = field(default_factory=list)

    def between(self, backend: Backend) -> Backend:
        return replace(backend, tables=_Tables(backend.tables, self), bus=_Bus(backend.bus, self))

    def reminders_of(self, orderid: str) -> list[str]:
        """Return the topics of an order's reminders."""
        return [
            topic
            for topic, each in self.events
            if "again" in each.attributes and orderid in each.data.decode()
        ]

    def lines(self) -> dict[str, Iterable[Any]]:
        """Return everything as JSON values, by file."""
        return {
            COMMITS: ([*key, None if entity is None else encoded(entity)] for key, entity in self.commits),
            EVENTS: ([topic, dict(each.attributes), each.data.decode()] for topic, each in self.events),
            ANSWERS: self.answers,
        }

    def write(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        for name, values in self.lines().items():
            text = "".join(json.dumps(each, sort_keys=True) + "\n" for each in values)
            (directory / name).write_text(text)


class _Tables:
    def __init__(self, tables: Tables, recording: Recording) -> None:
        self._tables = tables
        self._recording = recording

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tables, name)

    async def commit(self, mutations: Sequence[Mutation]) -> None:
        await self._tables.commit(mutations)
        self._recording.commits += [
            (each.key, None if isinstance(each, Delete) else each.entity) for each in mutations
        ]


class _Bus:
    def __init__(self, bus: Any, recording: Recording) -> None:
        self._bus = bus
        self._recording = recording

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        self._recording.events += [(topic, each) for each in messages]
        if kept := [each for each in messages if not _is_lost(each)]:
            await self._bus.publish(topic, kept)


def _is_lost(message: Message) -> bool:
    body = json.loads(message.data)
    items = {item["itemid"]: item["count"] for item in body["cart_items"]}
    return (body["status"], items) in HELD_BACK.values()


async def record(environ: Mapping[str, str]) -> Recording:
    """Run orders of every kind on the backend of `environ`, each until it has ended."""
    recording = Recording()
    async with _suite_and_client({**environ, **QUICK}, recording) as (suite, client):
        await asyncio.gather(*(_order(client, name, recording) for name in BASKETS))
        await suite.balances(60)
        for path in ("/v1/items", "/v1/items/blue", "/v1/carts/paid"):
            await _answer(client, recording, "GET", path)
    return recording


@asynccontextmanager
async def _suite_and_client(
    environ: Mapping[str, str], recording: Recording
) -> AsyncIterator[tuple[Suite, httpx.AsyncClient]]:
    async with (
        running_suite(environ, between=recording.between) as suite,
        gateway(suite.services.targets, environ) as client,
    ):
        yield suite, client


async def _order(client: httpx.AsyncClient, name: str, recording: Recording) -> None:
    cart, number = f"/v1/carts/{name}", 0

    async def change(method: str, path: str, body: Any = None) -> Any:
        nonlocal number
        number += 1
        headers = {"Idempotency-Key": f"{name}-{number}"}
        return await _answer(client, recording, method, path, body, headers)

    await change("PUT", cart)
    for itemid, count in {**BASKETS[name], "violet": 1}.items():
        await change("PUT", f"{cart}/items/{itemid}", {"count": count})
    await change("DELETE", f"{cart}/items/violet")
    await change("POST", f"{cart}:close")
    order = f"/v1/orders/{(await change('POST', f'{cart}:checkout'))['orderid']}"
    if name in HELD_BACK:
        orderid = order.rpartition("/")[2]
        topic = TOPOLOGY.topics[REMINDING[name]]
        await eventually(lambda: topic in (seen := recording.reminders_of(orderid)) and len(seen) >= 3, 60)
        await change("POST", f"{order}:cancel")
    await eventually(lambda: _has_ended(client, order), 60)
    for path in (order, f"{order}/history", f"{order}/events"):
        await _answer(client, recording, "GET", path)


async def _has_ended(client: httpx.AsyncClient, order: str) -> bool:
    return (await client.get(order)).json()["status"] not in {"pre-approved", "reserved"}


async def _answer(
    client: httpx.AsyncClient,
    recording: Recording,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Any:
    answer = await client.request(method, path, json=body, headers=headers, timeout=60)
    kept = {"method": method, "path": path, "status": answer.status_code, "body": answer.text}
    recording.answers.append(kept)
    return answer.json() if answer.headers["content-type"].endswith("json") else None


def encoded(value: Any) -> Any:
    """Return a stored value as JSON, from which `reader.decoded` makes it again."""
    if isinstance(value, Mapping):
        return {name: encoded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [encoded(each) for each in value]
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    return {"$time": value.isoformat()} if isinstance(value, datetime) else value


def stored_after(commits: Sequence[tuple[Key, Entity | None]]) -> list[Insert]:
    """Return the mutations that store what those commits have left."""
    rows: dict[Key, Entity] = {}
    for key, entity in commits:
        if entity is None:
            rows.pop(key, None)
        else:
            rows[key] = entity
    return [Insert(key, entity) for key, entity in rows.items()]


def read_commits(directory: Path) -> list[tuple[Key, Entity | None]]:
    """Return the commits of a recording, in order."""
    lines = map(json.loads, (directory / COMMITS).read_text().splitlines())
    return [(Key(kind, name), None if entity is None else decoded(entity)) for kind, name, entity in lines]


def read_events(directory: Path) -> list[tuple[str, Message]]:
    """Return the messages of a recording, each with its topic, in order."""
    lines = map(json.loads, (directory / EVENTS).read_text().splitlines())
    return [(topic, Message(body.encode(), attributes)) for topic, attributes, body in lines]


def add_fields(directory: Path, target: Path) -> None:
    """Write the recording to `target` as if a newer release had made it, which stores and answers more."""
    newer = NewerRelease(Random(0))
    answers = map(json.loads, (directory / ANSWERS).read_text().splitlines())
    Recording(
        [(key, entity and newer.extend(entity)) for key, entity in read_commits(directory)],
        [(topic, newer.message(each)) for topic, each in read_events(directory)],
        [{**each, "body": _extended(newer, each["body"])} for each in answers],
    ).write(target)


def _extended(newer: NewerRelease, body: str) -> str:
    """Return the body of an answer, or each event in it, with more in it."""
    if body.startswith("{"):
        return json.dumps(newer.extend(json.loads(body)))
    head, *events = body.split("data: ")
    data = [each.partition("\n") for each in events]
    return head + "".join(f"data: {_extended(newer, line)}{end}{rest}" for line, end, rest in data)
