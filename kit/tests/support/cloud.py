"""A real Google Cloud project for the contract suites; all names get a prefix of the test.

CLOUD_PROJECT and CLOUD_DATABASE select it. CLOUD_DATASTORE_EMULATOR and CLOUD_PUBSUB_EMULATOR replace
it with emulators, to test this module without a project.
"""

import os
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from sagakit.addresses import host_and_port
from sagakit.backends.gcp.datastore import open_datastore
from sagakit.backends.gcp.provision import open_pubsub_provisioner
from sagakit.backends.gcp.pubsub import open_pubsub
from sagakit.bus import Bus, Delivery, Message, Provisioner, Subscription, SubscriptionSpec
from sagakit.tables import Key, Mutation, Row, Tables

CLOUD = "cloud"
PROJECT = os.environ.get("CLOUD_PROJECT", "")
RUN = os.environ.get("CLOUD_RUN", "saga-test")
"""Prefix of every topic and subscription of this run, so that leftovers can be deleted."""


def own_prefix() -> str:
    return f"{RUN}-{uuid.uuid4().hex[:8]}-"


@asynccontextmanager
async def open_cloud_tables(prefix: str) -> AsyncIterator[Tables]:
    """Open tables whose kinds are prefixed, in a database shared with other tests."""
    emulator = _emulator("CLOUD_DATASTORE_EMULATOR")
    async with open_datastore(PROJECT, os.environ.get("CLOUD_DATABASE", ""), emulator) as tables:
        yield OwnTables(tables, prefix)


@asynccontextmanager
async def open_cloud_bus(prefix: str) -> AsyncIterator[Bus]:
    async with open_pubsub(PROJECT, pubsub()) as bus:
        yield OwnBus(bus, prefix)


@asynccontextmanager
async def open_cloud_provisioner(prefix: str) -> AsyncIterator[Provisioner]:
    async with open_pubsub_provisioner(PROJECT, pubsub()) as provisioner:
        yield OwnProvisioner(provisioner, prefix)


def pubsub() -> str:
    return _emulator("CLOUD_PUBSUB_EMULATOR")


def _emulator(name: str) -> str:
    return host_and_port(os.environ[name]) if os.environ.get(name) else ""


class OwnTables:
    """`Tables` whose kinds begin with a prefix."""

    def __init__(self, tables: Tables, prefix: str) -> None:
        self._tables = tables
        self._prefix = prefix

    async def lookup(self, keys: Sequence[Key]) -> dict[Key, Row]:
        found = await self._tables.lookup([self._prefixed(key) for key in keys])
        return {self._unprefixed(key): row for key, row in found.items()}

    async def commit(self, mutations: Sequence[Mutation]) -> None:
        await self._tables.commit([replace(each, key=self._prefixed(each.key)) for each in mutations])

    async def due(self, kind: str, start: str, end: str, limit: int) -> list[tuple[Key, Row]]:
        found = await self._tables.due(self._prefix + kind, start, end, limit)
        return [(self._unprefixed(key), row) for key, row in found]

    async def page(self, kind: str, after: str, limit: int) -> list[tuple[Key, Row]]:
        found = await self._tables.page(self._prefix + kind, after, limit)
        return [(self._unprefixed(key), row) for key, row in found]

    async def expire(self, now: float, limit: int) -> int:
        return await self._tables.expire(now, limit)

    def _prefixed(self, key: Key) -> Key:
        return Key(self._prefix + key.kind, key.name)

    def _unprefixed(self, key: Key) -> Key:
        return Key(key.kind.removeprefix(self._prefix), key.name)


class OwnBus:
    """A `Bus` whose topics and subscriptions begin with a prefix."""

    def __init__(self, bus: Bus, prefix: str) -> None:
        self._bus = bus
        self._prefix = prefix

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        await self._bus.publish(self._prefix + topic, messages)

    def subscribe(self, name: str, receive: Callable[[Delivery], None], max_outstanding: int) -> Subscription:
        return self._bus.subscribe(self._prefix + name, receive, max_outstanding)

    async def subscription_problem(self, name: str) -> str | None:
        return await self._bus.subscription_problem(self._prefix + name)


class OwnProvisioner:
    """A `Provisioner` whose topics and subscriptions begin with a prefix."""

    def __init__(self, provisioner: Provisioner, prefix: str) -> None:
        self.provisioner = provisioner
        self._prefix = prefix

    async def ensure_topic(self, topic: str) -> None:
        await self.provisioner.ensure_topic(self._prefix + topic)

    async def ensure_subscription(self, spec: SubscriptionSpec) -> str:
        dead = spec.dead_letter_topic and self._prefix + spec.dead_letter_topic
        own = replace(
            spec, name=self._prefix + spec.name, topic=self._prefix + spec.topic, dead_letter_topic=dead
        )
        return await self.provisioner.ensure_subscription(own)

    async def remove_subscription(self, name: str) -> None:
        await self.provisioner.remove_subscription(self._prefix + name)

    async def sweep(self, prefix: str) -> list[str]:
        swept = await self.provisioner.sweep(self._prefix + prefix)
        return [name.removeprefix(self._prefix) for name in swept]
