"""The recipes of docs/migrations.md: releases that change a shape, and the backfill beside their services."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any, Protocol

import pytest

from sagakit import (
    Changes,
    Entity,
    Key,
    Migration,
    Runtime,
    Snapshot,
    Stored,
    from_entity,
    migrate,
    to_entity,
)
from sagakit.store import Decide
from sagakit.tables import DUE, Insert, Tables
from sagakit.testing.contracts import OpenTables
from tests.support.counter import a_store

NAMES = [f"p{n:02}" for n in range(20)]
QUIET = [f"p{n:02}-quiet" for n in range(20)]
"""Parcels that only the backfill changes."""
UNKNOWN = {"gift": True}
"""A property that only a newer release knows."""


class Example(Protocol):
    """Four releases, each beside its neighbours only: two write the old shape, then two the new."""

    migration: Migration
    first: Entity

    def count(self, release: int, name: str) -> tuple[list[Key], Decide[int]]:
        """Return a transaction of that release, which adds 1 to the field that changes its shape."""

    def final(self, name: str, count: int) -> Mapping[Key, Entity]:
        """Return the entities in the new shape."""


def parcel_key(name: str) -> Key:
    return Key("Parcel", name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel(Stored):
    grams: int
    """Stored as `weight` by the first two releases."""


OLD_NAME = {"grams": "weight"}


class RenamedField:
    def __init__(self) -> None:
        self.migration = Migration("Parcel", self._convert)
        self.first = {"weight": 0, DUE: "00:1", **UNKNOWN}

    def _convert(self, key: Key, entity: Entity) -> Mapping[Key, Entity]:
        if "weight" not in entity:
            return {}
        rest = {name: value for name, value in entity.items() if name != "weight"}
        return {key: {**rest, "grams": entity["weight"]}}

    def count(self, release: int, name: str) -> tuple[list[Key], Decide[int]]:
        key = parcel_key(name)

        def decide(found: Snapshot) -> Changes[int]:
            entity = found.get(key) or {}
            parcel = self._read(release, entity)
            changed = replace(parcel, grams=parcel.grams + 1)
            return Changes(changed.grams, {key: {**self._write(release, changed), DUE: entity[DUE]}})

        return [key], decide

    def _read(self, release: int, entity: Entity) -> Parcel:
        is_old = release == 1 or (release < 4 and "weight" in entity)
        return from_entity(Parcel, entity, rename=OLD_NAME if is_old else {})

    def _write(self, release: int, parcel: Parcel) -> Entity:
        return to_entity(parcel, rename=OLD_NAME if release < 3 else {})

    def final(self, name: str, count: int) -> Mapping[Key, Entity]:
        return {parcel_key(name): {"grams": count, DUE: "00:1", **UNKNOWN}}


class SplitKind:
    """The address of a parcel becomes an entity of its own; `moves` counts its changes."""

    def __init__(self) -> None:
        self.migration = Migration("Parcel", self._convert)
        self.first = {"grams": 5, "address": {"moves": 0, **UNKNOWN}, **UNKNOWN}

    def _convert(self, key: Key, entity: Entity) -> Mapping[Key, Entity]:
        if "address" not in entity:
            return {}
        rest = {name: value for name, value in entity.items() if name != "address"}
        return {key: rest, self._address_key(key.name): entity["address"]}

    def count(self, release: int, name: str) -> tuple[list[Key], Decide[int]]:
        parcel, address = parcel_key(name), self._address_key(name)

        def decide(found: Snapshot) -> Changes[int]:
            entity = found.get(parcel) or {}
            is_split = release == 4 or (release > 1 and "address" not in entity)
            before: Any = found.get(address) if is_split else entity["address"]
            after = {**before, "moves": before["moves"] + 1}
            if is_split:
                return Changes(after["moves"], {address: after})
            # The second release keeps the shape that it finds; the third splits what it changes.
            changed = {parcel: {**entity, "address": after}}
            return Changes(after["moves"], changed if release < 3 else self._convert(parcel, changed[parcel]))

        return [parcel, address], decide

    def _address_key(self, name: str) -> Key:
        return Key("ParcelAddress", name)

    def final(self, name: str, count: int) -> Mapping[Key, Entity]:
        return {
            parcel_key(name): {"grams": 5, **UNKNOWN},
            self._address_key(name): {"moves": count, **UNKNOWN},
        }


@pytest.mark.parametrize("example", [RenamedField(), SplitKind()], ids=["rename", "split"])
async def test_shape_changes_beside_writers_and_no_write_is_lost(example: Example, open_tables: OpenTables):
    counts: Counter[str] = Counter()
    async with open_tables() as tables, open_tables() as backfill:
        for name in NAMES + QUIET:
            await tables.commit([Insert(parcel_key(name), example.first)])
        for neighbours in ((1, 2), (2, 3)):
            await during(idle, open_tables, example, neighbours, counts)
        before = counts.total()

        converted = await during(
            lambda: converted_by(example, backfill), open_tables, example, (3, 3), counts
        )

        assert converted >= len(QUIET)
        assert counts.total() > before
        assert await converted_by(example, backfill) == 0
        await during(idle, open_tables, example, (3, 4), counts)
        expected = {k: v for name in NAMES + QUIET for k, v in example.final(name, counts[name]).items()}
        found = await tables.lookup(list(expected))
        assert {key: row.entity for key, row in found.items()} == expected


async def idle() -> int:
    return 0


async def converted_by(example: Example, tables: Tables) -> int:
    found = [each async for each in migrate(tables, example.migration, Runtime(), writes_per_second=1000)]
    assert [each.problem for each in found if each.problem] == []
    return sum(bool(each.writes) for each in found)


async def during(
    work: Callable[[], Awaitable[int]],
    open_tables: OpenTables,
    example: Example,
    releases: tuple[int, int],
    counts: Counter[str],
) -> int:
    """Return the result of `work`, while a process of each release keeps changing parcels, five at least."""
    done = asyncio.Event()

    async def write(release: int, names: list[str]) -> None:
        async with open_tables() as tables:
            store = a_store(tables)
            for number, name in enumerate(cycle(names)):
                if done.is_set() and number >= 5:
                    return
                await store.transact(*example.count(release, name))
                counts[name] += 1

    async with asyncio.TaskGroup() as tasks:
        for release, names in zip(releases, (NAMES, NAMES[::-1]), strict=True):
            tasks.create_task(write(release, names))
        result = await work()
        done.set()
    return result
