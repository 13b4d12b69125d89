"""The sweeper: finds what is past its `due`, shard by shard, and hands each row to whoever claims it."""

from collections.abc import Awaitable, Callable

import structlog

from sagakit.due import SHARDS, due_bound
from sagakit.errors import SagaError
from sagakit.runtime import Runtime
from sagakit.tables import Key, Row, Tables

log = structlog.get_logger()

PASS_SECONDS = 10.0
PAGE = 100
PAGES_PER_VISIT = 10
TRAILING_SECONDS = 15 * 60.0
"""How far behind the last visit a shard is still looked at: clocks apart, commits that took long."""
FULL_SCAN_INTERVAL_SECONDS = 10 * 60.0
IDLE_FACTOR = 30
"""For how long a shard's answer is rested after, by how long it took: a store that is busy, or that reads a
whole kind for it as the Firestore emulator does, must not be kept busy by being looked through."""
MAX_IDLE_SECONDS = 10.0

Claim = Callable[[Key, Row], Awaitable[None]]


class Sweeper:
    """Walks over the index of one kind. Several may do so at once: a claim moves `due`, and losers skip.

    A query over an index whose entries get deleted reads the deleted ones too, for a while
    (https://cloud.google.com/datastore/docs/best-practices). So each shard has a low-water mark, kept
    in memory, trailing behind, and ignored now and then, so that nothing that came late is missed.
    """

    def __init__(
        self,
        tables: Tables,
        kind: str,
        claim: Claim,
        runtime: Runtime,
        *,
        capacity: Callable[[], int] = lambda: PAGE,
        pass_seconds: float = PASS_SECONDS,
    ) -> None:
        self._tables = tables
        self._kind = kind
        self._claim = claim
        self._runtime = runtime
        self._capacity = capacity
        self._pass_seconds = pass_seconds
        self._marks: dict[int, float] = {}
        self._marks_forgotten_at = runtime.monotonic()
        self._took = 0.0

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            shards = list(range(SHARDS))
            self._runtime.random.shuffle(shards)
            for shard in shards:
                pause = self._runtime.random.uniform(0, 2 * self._pass_seconds / SHARDS)
                await self._runtime.sleep(max(pause, min(IDLE_FACTOR * self._took, MAX_IDLE_SECONDS)))
                await self._visit_with_care(shard)

    async def sweep(self) -> None:
        """One pass over all shards, at once."""
        for shard in range(SHARDS):
            await self.visit(shard)

    async def visit(self, shard: int) -> None:
        """Claim what is due in one shard, as far as there is capacity."""
        now = self._runtime.now()
        for _ in range(PAGES_PER_VISIT):
            limit = min(PAGE, self._capacity())
            if limit <= 0:
                return
            asked_at = self._runtime.monotonic()
            try:
                rows = await self._tables.due(
                    self._kind, self._start(shard, now), due_bound(shard, now), limit
                )
            finally:
                self._took = self._runtime.monotonic() - asked_at
            with self._runtime.spans.sweeping(self._kind, len(rows)):
                for key, row in rows:
                    with self._runtime.spans.claiming(key, row):
                        await self._claim(key, row)
            if len(rows) < limit:
                self._marks[shard] = now
                return

    def _start(self, shard: int, now: float) -> str:
        monotonic = self._runtime.monotonic()
        if monotonic - self._marks_forgotten_at >= FULL_SCAN_INTERVAL_SECONDS:
            self._marks.clear()
            self._marks_forgotten_at = monotonic
        # A mark from before the wall clock was set back would hide what has become due since.
        mark = min(self._marks.get(shard, 0.0), now)
        return due_bound(shard, max(0.0, mark - TRAILING_SECONDS))

    async def _visit_with_care(self, shard: int) -> None:
        try:
            await self.visit(shard)
        except SagaError as error:
            log.warning("sweep failed, will retry", kind=self._kind, error=str(error))
