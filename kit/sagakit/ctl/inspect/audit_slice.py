"""One run of an audit in slices, within limits."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from sagakit.audits import Audit, Reads, Slice, SlicedCheck, SliceReport, check_names, check_slice
from sagakit.errors import Unavailable
from sagakit.runtime import Backoff, Runtime
from sagakit.tables import Key, Row, Tables

Result = TypeVar("Result")

RETRY_INTERVAL_SECONDS = 1.0
"""Time between two checks of what disagrees."""
READ_BACKOFF = Backoff(first_seconds=1, cap_seconds=10, attempts=1 << 30)
"""A slice has its turn once a day: one failed read must not end its run."""


@dataclass(frozen=True, slots=True)
class SliceOptions:
    """The part that a run checks, and its limits."""

    slices: int
    """Into how many slices the records are divided."""
    every: float
    """Seconds between two runs."""
    settled: float
    """Records that began in the last seconds are left out: their orders may be in progress."""
    limit: int
    """Entities that are read, at most."""
    seconds: float
    """How long records are read, at most."""
    wait: float
    """How long what disagrees is checked again until it agrees, and a failed read repeated, in seconds."""


async def audit_slice(
    tables: Tables, audits: Mapping[str, Audit], options: SliceOptions, runtime: Runtime
) -> list[SliceReport]:
    """Check the slice whose turn it is. Raises Unavailable if a read failed for `wait`."""
    checks = [audit.sliced for audit in audits.values() if audit.sliced is not None]
    reads = _RepeatedReads(tables, options.wait, runtime)
    return [await _checked(reads, each, options, runtime) for each in checks]


@dataclass(frozen=True, slots=True)
class _RepeatedReads:
    """Repeats a read that is Unavailable, for `wait` seconds."""

    tables: Tables
    wait: float
    runtime: Runtime

    async def lookup(self, keys: Sequence[Key]) -> dict[Key, Row]:
        return await self._repeat(partial(self.tables.lookup, keys))

    async def page(self, kind: str, after: str, limit: int) -> list[tuple[Key, Row]]:
        return await self._repeat(partial(self.tables.page, kind, after, limit))

    async def _repeat(self, read: Callable[[], Awaitable[Result]]) -> Result:
        deadline = self.runtime.monotonic() + self.wait
        for delay in READ_BACKOFF.delays(self.runtime.random):
            try:
                return await read()
            except Unavailable:
                if self.runtime.monotonic() + delay >= deadline:
                    raise
            await self.runtime.sleep(delay)
        return await read()


async def _checked(
    tables: Reads, sliced: SlicedCheck, options: SliceOptions, runtime: Runtime
) -> SliceReport:
    now, started = runtime.now(), runtime.monotonic()
    part, before = Slice.due(now, options.every, options.slices), now - options.settled

    def stop(entities: int) -> bool:
        return entities >= options.limit or runtime.monotonic() - started >= options.seconds

    report = await check_slice(tables, sliced, part, before, stop)
    deadline = runtime.monotonic() + options.wait
    while report.problems:
        # Read one after the other while they changed, records may have disagreed only in between.
        report.problems = await check_names(tables, sliced, [*report.problems], before)
        if not report.problems or runtime.monotonic() >= deadline:
            break
        await runtime.sleep(RETRY_INTERVAL_SECONDS)
    return report


def lines(reports: Sequence[SliceReport]) -> list[str]:
    """Return what was checked, a line each."""
    return [
        f"{report.names} orders compared, {report.entities} entities read"
        + (f"; stopped after {report.stopped_after}" if not report.complete else "")
        for report in reports
    ]
