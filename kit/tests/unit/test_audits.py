"""Audits: each from its moment, together with that of the outboxes."""

from datetime import UTC, datetime

import pytest

from sagakit.audits import (
    PAGE,
    Audit,
    AuditReport,
    Slice,
    SlicedCheck,
    check_names,
    check_slice,
    outboxes,
    run_all,
)
from sagakit.outbox import outbox_kind
from sagakit.tables import Insert, Key, Tables
from sagakit.testing.tables import MemoryTables
from sagakit.topology import ServiceDeclaration, Topology

SHOP = Topology((ServiceDeclaration("orders", topic="orders"), ServiceDeclaration("statistics")))


async def check(_tables: Tables, since: float) -> AuditReport:
    return AuditReport([f"since {since:.0f}"], ["a total"])


async def test_audit_applies_from_its_moment_on():
    always, later = Audit(check), Audit(check, since=datetime(1970, 1, 2, tzinfo=UTC))

    report = await run_all(MemoryTables(), {"always": always, "later": later})

    assert report == AuditReport(["since 0", "since 86400"], ["a total", "a total"])


async def test_events_in_any_outbox_are_a_problem():
    tables, audits = MemoryTables(), {"outboxes": outboxes(SHOP)}
    empty = await run_all(tables, audits)
    kind, count = outbox_kind("orders"), PAGE + 1
    await tables.commit([Insert(Key(kind, f"{number:04}"), {}) for number in range(count)])

    full = await run_all(tables, audits)

    assert empty == AuditReport([], ["outboxes: 0 unpublished events"])
    assert full.problems == [f"outbox of orders: {count} unpublished events"]
    assert full.summary == [f"outboxes: {count} unpublished events"]


NAMES = [
    "",
    "0",
    "00000000",
    "7fffffff",
    "80000000",
    "80000001",
    "deadbeef-1",
    "ffffffff-9",
    "x",
    "\u03c0",
]
WHOLE = Slice.at(0, 1)


@pytest.mark.parametrize("count", [1, 2, 3, 24, 1000])
def test_each_name_is_in_exactly_one_slice(count: int):
    slices = [Slice.at(number, count) for number in range(count)]

    for name in NAMES[1:]:
        inside = [
            part for part in slices if name > part.after and (part.through is None or name <= part.through)
        ]
        assert len(inside) == 1, name


def test_slices_have_their_turn_one_after_the_other():
    """Whenever within its period a run starts."""
    hour = 3600.0

    turns = [Slice.due(hour * number + late, hour, 3) for number, late in enumerate([0, 3599, 7, 1200])]

    assert turns == [Slice.at(number, 3) for number in (0, 1, 2, 0)]


def unequal(name: str, entities: dict, before: float) -> list[str]:
    """Disagree unless both kinds have the same value."""
    values = {kind: entity["value"] for kind, entity in entities.items()}
    same = len(values) == 2 and len(set(values.values())) == 1
    return [] if same else [f"{name} before {before:.0f}: {values}"]


UNEQUAL = SlicedCheck(("One", "Two"), unequal)


async def two_kinds(ones: dict[str, int], twos: dict[str, int]) -> MemoryTables:
    tables = MemoryTables()
    for kind, rows in (("One", ones), ("Two", twos)):
        for name, value in rows.items():
            await tables.commit([Insert(Key(kind, name), {"value": value})])
    return tables


async def test_records_of_one_name_are_compared():
    same = {f"{number:08x}": 1 for number in range(2 * PAGE + 1)}
    tables = await two_kinds({**same, "a": 1, "b": 1}, {**same, "b": 2, "c": 1, "z": 1})

    report = await check_slice(tables, UNEQUAL, WHOLE, 5, lambda _: False)

    assert report.problems == {
        "a": ["a before 5: {'One': 1}"],
        "b": ["b before 5: {'One': 1, 'Two': 2}"],
        "c": ["c before 5: {'Two': 1}"],
        "z": ["z before 5: {'Two': 1}"],
    }
    assert (report.names, report.entities) == (len(same) + 4, 2 * len(same) + 5)
    assert report.stopped_after is None


async def test_only_the_names_of_the_slice_are_compared():
    rows = dict.fromkeys(("10000000", "80000000", "80000001", "f"), 1)
    tables = await two_kinds(rows, {})

    found = [
        (await check_slice(tables, UNEQUAL, Slice.at(each, 2), 0, lambda _: False)).problems
        for each in (0, 1)
    ]

    assert [[*problems] for problems in found] == [["10000000", "80000000"], ["80000001", "f"]]


async def test_check_of_a_slice_stops_at_its_limit_and_names_where():
    tables = await two_kinds(dict.fromkeys("abcd", 1), dict.fromkeys("abc", 1))

    report = await check_slice(tables, UNEQUAL, WHOLE, 0, lambda entities: entities >= 4)

    assert (report.names, report.entities, report.stopped_after, report.problems) == (2, 4, "b", {})


async def test_names_are_checked_again_as_they_are_now():
    tables = await two_kinds({"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 2})

    assert [*await check_names(tables, UNEQUAL, ["a", "b", "c"], 0)] == ["b", "c"]
