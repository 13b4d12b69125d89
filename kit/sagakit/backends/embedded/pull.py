"""`PullSubscription` over the embedded bus's tables."""

import sqlite3
from collections.abc import Sequence

from sagakit.backends.embedded import queue
from sagakit.backends.embedded.database import Database
from sagakit.bus import PulledMessage
from sagakit.runtime import Runtime


class EmbeddedPullSubscription:
    """Pulls one subscription on request."""

    def __init__(self, database: Database, runtime: Runtime, name: str) -> None:
        self._database = database
        self._runtime = runtime
        self._name = name

    async def pull(self, limit: int) -> list[PulledMessage]:
        now = self._runtime.now()

        def work(db: sqlite3.Connection) -> list[queue.Lease]:
            return queue.claim(db, queue.subscription_spec(db, self._name), limit, now)

        return [PulledMessage(str(each.id), each.message) for each in await self._database.write(work)]

    async def acknowledge(self, messages: Sequence[PulledMessage]) -> None:
        await self._database.write(lambda db: queue.remove(db, [int(each.id) for each in messages]))

    async def release(self, messages: Sequence[PulledMessage]) -> None:
        await self._database.write(lambda db: queue.release(db, [int(each.id) for each in messages]))
