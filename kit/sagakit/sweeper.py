"""Sweepers: one finds entities past their `due`, shard by shard; another deletes expired entities."""

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
"""How far the low-water mark trails the previous pass, to allow for clock skew and slow commits."""
FULL_SCAN_INTERVAL_SECONDS = 10 * 60.0
IDLE_FACTOR = 30
"""Idle time after each shard query, as a multiple of the query's duration.

Sweeping then uses at most 1/31 of a slow store's capacity. A store is slow when it is busy, or when it
scans the whole kind for the query, as the Firestore emulator does.
"""
MAX_IDLE_SECONDS = 10.0
EXPIRY_INTERVAL_SECONDS = 600.0
MAX_EXPIRED_ROWS = 500
"""Expired entities that are deleted at once."""

Claim = Callable[[Key, Row], Awaitable[None]]
"""Moves the row's `due` forward or removes it, in a commit that only one of several processes succeeds
with, and acts on the row. Does nothing if another process was first."""


class Sweeper:
    """Sweeps the index of one kind. Several processes may do so at once: claims resolve their races.

    A query over an index reads the deleted entries in its range too, for a while
    (https://cloud.google.com/datastore/docs/best-practices). So each shard has a low-water mark at
    which its queries start, instead of at the beginning of time. It is kept in memory, trails behind
    to include entities that were written late, and is ignored at intervals to find all others.
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
        """`capacity` returns how many rows may be claimed now; `pass_seconds` is the mean time of a pass."""
        self._tables = tables
        self._kind = kind
        self._claim = claim
        self._runtime = runtime
        self._capacity = capacity
        self._pass_seconds = pass_seconds
        self._marks: dict[int, float] = {}
        """By shard, until when (wall clock) everything due had been found."""
        self._marks_cleared_at = runtime.monotonic()
        self._query_seconds = 0.0

    async def run(self) -> None:
        """Sweep until cancelled.

        Shards are visited in random order with random pauses, so that processes spread over them.
        """
        while True:
            shards = list(range(SHARDS))
            self._runtime.random.shuffle(shards)
            for shard in shards:
                pause = self._runtime.random.uniform(0, 2 * self._pass_seconds / SHARDS)
                idle = min(IDLE_FACTOR * self._query_seconds, MAX_IDLE_SECONDS)
                await self._runtime.sleep(max(pause, idle))
                try:
                    await self.visit(shard)
                except SagaError as error:
                    log.warning("sweep failed, will retry", kind=self._kind, error=str(error))

    async def sweep(self) -> None:
        """Visit all shards once, without pauses. Raises what `visit` raises."""
        for shard in range(SHARDS):
            await self.visit(shard)

    async def visit(self, shard: int) -> None:
        """Claim what is due in one shard, as far as capacity allows. Raises what queries and claims raise."""
        observer, now = self._runtime.observer, self._runtime.now()
        for _ in range(PAGES_PER_VISIT):
            limit = min(PAGE, self._capacity())
            if limit <= 0:
                return
            rows = await self._due(shard, now, limit)
            with observer.sweep(self._kind, len(rows)):
                for key, row in rows:
                    with observer.claim(key, row):
                        await self._claim(key, row)
            # Only a page that was not full has shown that nothing else is due.
            if len(rows) < limit:
                self._marks[shard] = now
                return

    async def _due(self, shard: int, now: float, limit: int) -> list[tuple[Key, Row]]:
        started = self._runtime.monotonic()
        try:
            return await self._tables.due(self._kind, self._start(shard, now), due_bound(shard, now), limit)
        finally:
            self._query_seconds = self._runtime.monotonic() - started

    def _start(self, shard: int, now: float) -> str:
        monotonic = self._runtime.monotonic()
        if monotonic - self._marks_cleared_at >= FULL_SCAN_INTERVAL_SECONDS:
            self._marks.clear()
            self._marks_cleared_at = monotonic
        # A mark from before the wall clock was set back would hide what has become due since.
        mark = min(self._marks.get(shard, 0.0), now)
        return due_bound(shard, max(0.0, mark - TRAILING_SECONDS))


class Expiry:
    """Deletes expired entities at intervals, for databases that do not do so themselves.

    Several processes may do so at once.
    """

    def __init__(self, tables: Tables, runtime: Runtime) -> None:
        self._tables = tables
        self._runtime = runtime

    async def run(self) -> None:
        """Delete until cancelled: each EXPIRY_INTERVAL_SECONDS on average, at once while there are more."""
        removed = 0
        while True:
            more = removed == MAX_EXPIRED_ROWS
            await self._runtime.sleep(
                0.1 if more else self._runtime.random.uniform(0, 2 * EXPIRY_INTERVAL_SECONDS)
            )
            removed = 0
            try:
                removed = await self._tables.expire(self._runtime.now(), MAX_EXPIRED_ROWS)
            except SagaError as error:
                log.warning("expiry failed, will retry", error=str(error))
            if removed:
                log.info("expired entities removed", count=removed)
