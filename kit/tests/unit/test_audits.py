"""Audits: each from its moment, together with that of the outboxes."""

from datetime import UTC, datetime

from sagakit.audits import PAGE, Audit, AuditReport, outboxes, run_all
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
