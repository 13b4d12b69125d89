"""One run of an audit in slices, within limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sagakit.audits import Audit, Slice, SlicedCheck, SliceReport, check_names, check_slice
from sagakit.runtime import Runtime
from sagakit.tables import Tables

RETRY_INTERVAL_SECONDS = 1.0
"""Time between two checks of what disagrees."""


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
    """How long what disagrees is checked again, until it agrees, in seconds."""


async def audit_slice(
    tables: Tables, audits: Mapping[str, Audit], options: SliceOptions, runtime: Runtime
) -> list[SliceReport]:
    """Check the slice whose turn it is. Raises Unavailable if the database cannot be reached."""
    checks = [audit.sliced for audit in audits.values() if audit.sliced is not None]
    return [await _checked(tables, each, options, runtime) for each in checks]


async def _checked(
    tables: Tables, sliced: SlicedCheck, options: SliceOptions, runtime: Runtime
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
