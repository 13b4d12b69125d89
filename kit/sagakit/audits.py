"""Audits: checks of stored records, which services contribute and `sagactl audit` runs.

An audit of everything ends only if the records are few. A schedule checks one slice after the other instead:
which one it is follows from the time, so that nothing has to be stored between two runs.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sagakit.outbox import outbox_kind
from sagakit.tables import Entity, Key, Row, Tables
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
class SlicedCheck:
    """A check of the records that belong together, such as those of an order, which have one name."""

    kinds: Sequence[str]
    """The kinds of these records."""
    check: Callable[[str, Mapping[str, Entity], float], Sequence[str]]
    """A pure function of the name, its entities by kind, and a time in seconds since the epoch.

    Returns what disagrees, a line each; nothing if the records began later than that time.
    """


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of all names, which are expected to begin with random hex digits."""

    after: str
    """It begins with the first name after this."""
    through: str | None
    """It ends with this; None: with the last name."""

    @classmethod
    def at(cls, number: int, count: int) -> "Slice":
        """Return the slice `number`, from 0, of `count` slices. Each name is in exactly one."""
        first, last = (f"{(each << _SLICE_BITS) // count:08x}" for each in (number, number + 1))
        return cls(first if number else "", last if number + 1 < count else None)

    @classmethod
    def due(cls, now: float, every: float, count: int) -> "Slice":
        """Return the slice whose turn it is at `now`, if there is one run every `every` seconds."""
        return cls.at(int(now // every) % count, count)


_SLICE_BITS = 32


class Reads(Protocol):
    """The part of `Tables` that the check of a slice uses. Every method raises Unavailable."""

    async def lookup(self, keys: Sequence[Key]) -> dict[Key, Row]:
        """Return the entities that exist, each as of its latest commit."""

    async def page(self, kind: str, after: str, limit: int) -> list[tuple[Key, Row]]:
        """Return the first `limit` entities of a kind whose names sort after `after`."""


@dataclass(slots=True)
class SliceReport:
    """The result of the check of a slice."""

    problems: Mapping[str, Sequence[str]]
    """Disagreements, a line each, by name."""
    names: int = 0
    """Names whose records were compared."""
    entities: int = 0
    """Entities that were read."""
    stopped_after: str | None = None
    """The last name that was checked, if the check stopped before the end of the slice."""

    @property
    def complete(self) -> bool:
        """Whether the whole slice was checked."""
        return self.stopped_after is None


@dataclass(frozen=True, slots=True)
class Audit:
    """A check of stored records, defined in a module; it needs no running service.

    A service names it in its declaration (`ServiceDeclaration.audit`).
    """

    check: Callable[[Tables, float], Awaitable[AuditReport]]
    """Called with the tables and `since`, in seconds since the epoch. It leaves out older entities."""
    since: datetime | None = None
    """The moment from which it applies: when its service was added to those that ran. None: always."""
    sliced: SlicedCheck | None = None
    """The check of a part of the records. None: they are checked only as a whole."""

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


async def check_slice(
    tables: Reads, sliced: SlicedCheck, part: Slice, before: float, stop: Callable[[int], bool]
) -> SliceReport:
    """Return what disagrees in a slice, of records that began before `before` (seconds since the epoch).

    It ends early once `stop` returns True, which gets the number of entities read. Records that change
    meanwhile may disagree only in the report: see `check_names`. Raises Unavailable if the database
    cannot be reached.
    """
    problems: dict[str, Sequence[str]] = {}
    report = SliceReport(problems)
    async for name, entities in _together(tables, sliced.kinds, part):
        if found := sliced.check(name, entities, before):
            problems[name] = found
        report.names += 1
        report.entities += len(entities)
        if stop(report.entities):
            report.stopped_after = name
            break
    return report


async def check_names(
    tables: Reads, sliced: SlicedCheck, names: Sequence[str], before: float
) -> dict[str, Sequence[str]]:
    """Return what disagrees now in the records with these names, each as of its latest commit."""
    problems: dict[str, Sequence[str]] = {}
    for name in names:
        rows = await tables.lookup([Key(kind, name) for kind in sliced.kinds])
        if found := sliced.check(name, {key.kind: row.entity for key, row in rows.items()}, before):
            problems[name] = found
    return problems


async def _together(
    tables: Reads, kinds: Sequence[str], part: Slice
) -> AsyncIterator[tuple[str, Mapping[str, Entity]]]:
    """Yield the names in a slice in their order, with their entities by kind. Holds a page of each kind."""
    streams = {kind: _from(tables, kind, part.after) for kind in kinds}
    heads = {kind: head for kind, stream in streams.items() if (head := await anext(stream, None))}
    while heads:
        name = min(each for each, _ in heads.values())
        if part.through is not None and name > part.through:
            return
        entities = {kind: entity for kind, (each, entity) in heads.items() if each == name}
        yield name, entities
        for kind in entities:
            if head := await anext(streams[kind], None):
                heads[kind] = head
            else:
                del heads[kind]


async def _from(tables: Reads, kind: str, after: str) -> AsyncIterator[tuple[str, Entity]]:
    while page := await tables.page(kind, after, PAGE):
        for key, row in page:
            yield key.name, row.entity
        after = page[-1][0].name


async def _count(tables: Tables, kind: str) -> int:
    count, after = 0, ""
    while page := await tables.page(kind, after, PAGE):
        count, after = count + len(page), page[-1][0].name
    return count
