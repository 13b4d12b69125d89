"""Sweepers: one finds entities past their `due`, shard by shard; another deletes expired entities."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from sagakit.due import END_OF_TIME, MAX_AHEAD_SECONDS, SHARDS, decode_due, due_bound
from sagakit.errors import SagaError, Unavailable
from sagakit.observer import NO_KIND
from sagakit.runtime import Backoff, Runtime
from sagakit.tables import DUE, Key, Row, Tables

log = structlog.get_logger()

PASS_SECONDS = 10.0
PAGE = 100
PAGES_PER_VISIT = 10
TRAILING_SECONDS = 15 * 60.0
"""How far the low-water mark trails the previous pass, to allow for clock skew and slow commits."""
FULL_SCAN_INTERVAL_SECONDS = 10 * 60.0
IDLE_FACTOR = 30
"""Idle time after each visit of a shard, as a multiple of the duration of its queries.

Sweeping then uses at most 1/31 of a slow store's capacity. A store is slow when it is busy, or when it
scans the whole kind for the query, as the Firestore emulator does.
"""
MAX_IDLE_SECONDS = 10.0
EXPIRY_INTERVAL_SECONDS = 600.0
MAX_EXPIRED_ROWS = 500
"""Expired entities that are deleted at once."""

FAILED_ROW_BACKOFF = Backoff(first_seconds=60, cap_seconds=600, attempts=1 << 30)
"""Time until a row whose claim failed is claimed again; a row that has changed is claimed at once."""
MAX_FAILED_ROWS = 10_000
"""Failed rows that a sweeper remembers."""

Claim = Callable[[Key, Row], Awaitable[bool]]
"""Moves the row's `due` or removes it, in a commit that only one of several processes succeeds with, and
acts on the row. Does nothing if another process was first.

Returns False if the row is left as it was, so that it must be found again. Raises Unavailable if the
database cannot be reached; whatever else it raises is taken for a fault of this row."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """A row whose claim failed."""

    version: int
    count: int
    retry_at: float
    """Monotonic."""


@dataclass(frozen=True, slots=True)
class _Pass:
    """The rest of a pass over one shard."""

    start: str
    end: str
    mark: float
    """The low-water mark if nothing else is found."""
    is_full: bool
    """Whether rows that are due too far ahead follow."""
    seen: frozenset[Key] = frozenset()
    """Rows whose `due` is `start` and that were found before."""


class Sweeper:
    """Sweeps the index of one kind. Several processes may do so at once: claims resolve their races.

    A query over an index reads the deleted entries in its range too, for a while
    (https://cloud.google.com/datastore/docs/best-practices). So each shard has a low-water mark at
    which its queries start, instead of at the beginning of time. It is kept in memory, trails behind
    to include entities that were written late, and is ignored at intervals (a full scan) to find all
    others, and those with a `due` implausibly far ahead.

    A row that cannot be claimed is logged, counted and left as it is. It costs nothing but its being
    found: the pass and the low-water mark move on, and it is claimed again after a while.
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
        """`capacity` returns about how many rows may be claimed now; `pass_seconds` is the mean time of a
        pass.
        """
        self.kind = kind
        self._tables = tables
        self._claim = claim
        self._runtime = runtime
        self._capacity = capacity
        self._pass_seconds = pass_seconds
        self._marks: dict[int, float] = {}
        """By shard, until when (wall clock) everything due had been found."""
        self._marks_cleared_at = runtime.monotonic()
        self._unfinished: dict[int, _Pass] = {}
        """By shard, what the next visit continues with."""
        self._failures: dict[Key, _Failure] = {}
        self._query_seconds = 0.0
        """How long the queries of the last visit took."""

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
                    log.warning("sweep failed, will retry", kind=self.kind, error=str(error))
                except Exception:
                    self._runtime.observer.row_failed(self.kind)
                    log.exception("sweep crashed, will retry", kind=self.kind)

    async def sweep(self) -> None:
        """Visit all shards once, without pauses. Raises what `visit` raises."""
        for shard in range(SHARDS):
            await self.visit(shard)

    async def visit(self, shard: int) -> None:
        """Claim what is due in one shard, as far as capacity allows. Raises Unavailable if a call does."""
        self._query_seconds = 0.0
        rest = self._unfinished.pop(shard, None) or self._new_pass(shard)
        for _ in range(PAGES_PER_VISIT):
            if (capacity := self._capacity()) <= 0:
                return
            # Failed rows take no capacity, or a few would be all that is found while it is low.
            limit = min(PAGE, capacity + len(self._failures)) + len(rest.seen)
            rows = await self._due(rest, limit)
            mark = min(rest.mark, await self._claim_all([each for each in rows if each[0] not in rest.seen]))
            # Only a page that was not full has shown that nothing else is due.
            if len(rows) == limit:
                start = rows[-1][1].entity[DUE]
                seen = frozenset(key for key, row in rows if row.entity[DUE] == start)
                rest = replace(rest, start=start, seen=seen, mark=mark)
            elif rest.is_full:
                ahead = self._runtime.now() + MAX_AHEAD_SECONDS
                rest = _Pass(due_bound(shard, ahead), due_bound(shard, END_OF_TIME), mark, is_full=False)
            else:
                self._marks[shard] = mark
                return
        self._unfinished[shard] = rest

    def _new_pass(self, shard: int) -> _Pass:
        now, monotonic = self._runtime.now(), self._runtime.monotonic()
        if monotonic - self._marks_cleared_at >= FULL_SCAN_INTERVAL_SECONDS:
            self._marks.clear()
            self._marks_cleared_at = monotonic
        # A mark from before the wall clock was set back would hide what has become due since.
        mark = min(self._marks.get(shard, 0.0), now)
        start = due_bound(shard, max(0.0, mark - TRAILING_SECONDS))
        return _Pass(start, due_bound(shard, now), now, is_full=shard not in self._marks)

    async def _due(self, rest: _Pass, limit: int) -> list[tuple[Key, Row]]:
        started = self._runtime.monotonic()
        try:
            return await self._tables.due(self.kind, rest.start, rest.end, limit)
        finally:
            self._query_seconds += self._runtime.monotonic() - started

    async def _claim_all(self, rows: Sequence[tuple[Key, Row]]) -> float:
        """Claim the rows; return when the first of those that were left was due (wall clock)."""
        with self._runtime.observer.sweep(self.kind, len(rows)):
            return min([await self._claim_one(*each) for each in rows], default=END_OF_TIME)

    async def _claim_one(self, key: Key, row: Row) -> float:
        failure = self._failures.get(key)
        if failure and failure.version == row.version and self._runtime.monotonic() < failure.retry_at:
            return END_OF_TIME
        try:
            with self._runtime.observer.claim(key, row):
                found_at = decode_due(row.entity[DUE])
                claimed = await self._claim(key, row)
        except Unavailable:
            raise
        except Exception:
            # Whatever is wrong with one row must not stop the work on the others.
            failures = self._remember_failure(key, row)
            self._runtime.observer.row_failed(self.kind)
            log.exception("row failed", kind=key.kind, name=key.name, failures=failures)
            return END_OF_TIME
        self._failures.pop(key, None)
        return END_OF_TIME if claimed else found_at

    def _remember_failure(self, key: Key, row: Row) -> int:
        """Skip the row for a while; return how often it has failed as it is now."""
        before = self._failures.pop(key, None)
        count = before.count + 1 if before and before.version == row.version else 1
        if len(self._failures) >= MAX_FAILED_ROWS:
            del self._failures[next(iter(self._failures))]
        retry_at = self._runtime.monotonic() + FAILED_ROW_BACKOFF.max_delay(count - 1)
        self._failures[key] = _Failure(row.version, count, retry_at)
        return count


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
            except Exception:
                self._runtime.observer.row_failed(NO_KIND)
                log.exception("expiry crashed, will retry")
            if removed:
                log.info("expired entities removed", count=removed)
