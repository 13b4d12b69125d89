"""Every implementation of `Tables`; each is opened empty, once for each process of a test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sagakit.backends.embedded.database import Database
from sagakit.backends.embedded.tables import EmbeddedTables
from sagakit.backends.gcp.datastore import open_datastore
from sagakit.batching import BatchedTables, BatchLimits
from sagakit.observer import Observer
from sagakit.tables import Tables
from sagakit.testing.contracts import OpenTables
from sagakit.testing.tables import MemoryTables
from tests.support import cloud

STORES = (
    [cloud.CLOUD]
    if cloud.PROJECT
    else [
        "memory",
        "embedded",
        pytest.param("firestore", marks=pytest.mark.emulators),
        pytest.param("datastore", marks=pytest.mark.emulators),
        "memory, shared calls",
        "embedded, shared calls",
        pytest.param("datastore, shared calls", marks=pytest.mark.emulators),
    ]
)
"""The fake of the unit tests and the three it stands for, alone and with shared calls; or a real project."""


def opener(store: str, file: Path, project: str, emulator: str) -> OpenTables:
    store, *shared = store.split(", ")
    if shared:
        single = opener(store, file, project, emulator)
        return lambda: _batched(single)
    if store == "memory":
        memory = MemoryTables()
        return lambda: _memory(memory)
    if store == "embedded":
        return lambda: _embedded(file)
    if store == cloud.CLOUD:
        return lambda: cloud.open_cloud_tables(project)
    return lambda: open_datastore(project, "", emulator)


@asynccontextmanager
async def _memory(tables: MemoryTables) -> AsyncIterator[Tables]:
    yield tables


@asynccontextmanager
async def _embedded(file: Path) -> AsyncIterator[Tables]:
    database = Database(file)
    try:
        yield EmbeddedTables(database)
    finally:
        await database.close()


@asynccontextmanager
async def _batched(open_tables: OpenTables) -> AsyncIterator[Tables]:
    async with open_tables() as tables, BatchedTables(tables, BatchLimits(), Observer()) as batched:
        yield batched
