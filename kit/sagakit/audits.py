"""Audits: checks of stored records, which services contribute and `sagactl audit` runs."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sagakit.outbox import outbox_kind
from sagakit.tables import Tables
from sagakit.topology import Topology

PAGE = 300


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The result of an audit."""

    problems: Sequence[str] = ()
    """Disagreements between records, a line each."""
    summary: Sequence[str] = ()
    """Totals, a line each."""


@dataclass(frozen=True, slots=True)
class Audit:
    """A check of stored records, defined in a module; it needs no running service.

    A service names it in its declaration (`ServiceDeclaration.audit`).
    """

    check: Callable[[Tables, float], Awaitable[AuditReport]]
    """Called with the tables and `since`, in seconds since the epoch. It leaves out older entities."""
    since: datetime | None = None
    """The moment from which it applies: when its service was added to those that ran. None: always."""

    async def run(self, tables: Tables) -> AuditReport:
        """Return what the check finds. Raises Unavailable if the database cannot be reached."""
        return await self.check(tables, self.since.timestamp() if self.since else 0.0)


def outboxes(topology: Topology) -> Audit:
    """Return the audit of what every service publishes: nothing is left in an outbox."""

    async def check(tables: Tables, _: float) -> AuditReport:
        rows = {service: await _count(tables, outbox_kind(service)) for service in topology.topics}
        return AuditReport(
            [f"outbox of {service}: {count} unpublished events" for service, count in rows.items() if count],
            [f"outboxes: {sum(rows.values())} unpublished events"],
        )

    return Audit(check)


async def run_all(tables: Tables, audits: Mapping[str, Audit]) -> AuditReport:
    """Return what all audits found together. Raises Unavailable if the database cannot be reached."""
    reports = [await audit.run(tables) for audit in audits.values()]
    return AuditReport(
        [problem for report in reports for problem in report.problems],
        [line for report in reports for line in report.summary],
    )


async def _count(tables: Tables, kind: str) -> int:
    count, after = 0, ""
    while page := await tables.page(kind, after, PAGE):
        count, after = count + len(page), page[-1][0].name
    return count
