"""Per-key asyncio locks, fair (FIFO), local to the process."""

import asyncio
from collections.abc import AsyncIterator, Hashable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager


class KeyedLocks:
    """Locks for arbitrary names; one exists while it is in use.

    Several names are locked in one fixed order, so that no two tasks wait for each other.
    """

    def __init__(self) -> None:
        self._locks: dict[Hashable, asyncio.Lock] = {}
        self._users: dict[Hashable, int] = {}

    @asynccontextmanager
    async def hold(self, names: Iterable[Hashable]) -> AsyncIterator[None]:
        """Hold the locks of all `names` inside the block. Waiters of one lock: first come, first served."""
        async with AsyncExitStack() as stack:
            for name in sorted(set(names), key=repr):
                await stack.enter_async_context(self._one(name))
            yield

    @asynccontextmanager
    async def _one(self, name: Hashable) -> AsyncIterator[None]:
        lock = self._locks.setdefault(name, asyncio.Lock())
        self._users[name] = self._users.get(name, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._users[name] -= 1
            if not self._users[name]:
                del self._users[name], self._locks[name]
