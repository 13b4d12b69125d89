"""`Mailbox` over the embedded bus's tables."""

import sqlite3
from collections.abc import Sequence

from sagakit.bus import Held
from sagakit.embedded import queue
from sagakit.embedded.database import Database
from sagakit.runtime import Runtime


class EmbeddedMailbox:
    """One subscription."""

    def __init__(self, database: Database, runtime: Runtime, name: str) -> None:
        self._database = database
        self._runtime = runtime
        self._name = name

    async def take(self, limit: int) -> list[Held]:
        now = self._runtime.now()

        def work(db: sqlite3.Connection) -> list[queue.Claimed]:
            return queue.claim(db, queue.spec_of(db, self._name), limit, now)

        return [Held(str(each.id), each.message) for each in await self._database.write(work)]

    async def remove(self, held: Sequence[Held]) -> None:
        await self._database.write(lambda db: queue.remove(db, [int(each.id) for each in held]))

    async def give_back(self, held: Sequence[Held]) -> None:
        await self._database.write(lambda db: queue.give_back(db, [int(each.id) for each in held]))
