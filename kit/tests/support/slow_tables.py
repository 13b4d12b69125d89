"""Tables whose calls a test holds, beneath shared calls (sagakit.batching)."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from sagakit.batching import BatchedTables, BatchLimits
from sagakit.observer import Observer
from sagakit.tables import Key, Mutation, Row
from sagakit.testing import MemoryTables

A, B, C, D, E = (Key("Thing", name) for name in "abcde")
ONE = {"n": 1}


class SlowTables(MemoryTables):
    """Holds each call until it is released, and records it."""

    def __init__(self) -> None:
        super().__init__()
        self.lookups: list[Sequence[Key]] = []
        self.commits: list[list[Key]] = []
        self._held: list[asyncio.Event] = []

    async def lookup(self, keys: Sequence[Key]) -> dict[Key, Row]:
        self.lookups.append(keys)
        await self._hold()
        return await super().lookup(keys)

    async def commit(self, mutations: Sequence[Mutation]) -> None:
        self.commits.append([mutation.key for mutation in mutations])
        await self._hold()
        await super().commit(mutations)

    async def _hold(self) -> None:
        held = asyncio.Event()
        self._held.append(held)
        await held.wait()

    async def release(self, *, times: int = 1) -> None:
        """End all calls in flight, `times` times."""
        for _ in range(times):
            await ready()
            held, self._held = self._held, []
            for each in held:
                each.set()
            await ready()


async def ready() -> None:
    """Return once every task that can run has waited for something."""
    for _ in range(20):
        await asyncio.sleep(0)


def batched(slow: MemoryTables, **limits: int) -> BatchedTables:
    return BatchedTables(slow, BatchLimits(**limits), Observer())


async def started(
    first: Coroutine[Any, Any, Any], *others: Coroutine[Any, Any, Any]
) -> list[asyncio.Task[Any]]:
    """Start the first call, and the others while it is in flight."""
    tasks = [asyncio.create_task(first)]
    await ready()
    tasks += [asyncio.create_task(call) for call in others]
    await ready()
    return tasks
