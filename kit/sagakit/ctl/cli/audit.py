"""`sagactl audit`: run the audits of the project and of its services."""

import asyncio
import sys
import time
from pathlib import Path

import click

from sagakit.audits import Audit, AuditReport, outboxes, run_all
from sagakit.ctl.cli import options
from sagakit.ctl.inspect.connect import open_tables
from sagakit.ctl.load import load_object
from sagakit.ctl.project import Project
from sagakit.ctl.text import echo

_RETRY_INTERVAL_SECONDS = 1.0


@click.command()
@options.wait("Retry for up to this many seconds until all records agree.")
@options.suite
def audit(wait: float, run_dir: Path) -> None:
    """Check that the records of all services agree, and that no outbox holds an event; exit 1 if not."""
    report = asyncio.run(_run_until_balanced(audits_of(options.project()), wait, run_dir))
    for line in report.summary:
        echo(line)
    for problem in report.problems:
        echo(problem, colour="red")
    if report.problems:
        sys.exit(1)
    echo("everything balances", colour="green")


def audits_of(project: Project) -> dict[str, Audit]:
    """Return the audits of a project, of its services, and of the outboxes. Raises CommandError."""
    declared = {each.name: each.audit for each in project.topology.services if each.audit}
    references = {**project.audits, **declared}
    found = {name: load_object(reference, Audit) for name, reference in references.items()}
    return {**found, "outboxes": outboxes(project.topology)}


async def _run_until_balanced(audits: dict[str, Audit], wait: float, run_dir: Path) -> AuditReport:
    deadline = time.monotonic() + wait
    async with open_tables(run_dir) as tables:
        while True:
            report = await run_all(tables, audits)
            if not report.problems or time.monotonic() >= deadline:
                return report
            await asyncio.sleep(_RETRY_INTERVAL_SECONDS)
