"""`sagactl audit`: run the audits of the project and of its services."""

import asyncio
import sys
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import click

from sagakit.addresses import MAX_PORT
from sagakit.audits import Audit, AuditReport, outboxes, run_all
from sagakit.ctl.cli import options
from sagakit.ctl.errors import CommandError
from sagakit.ctl.inspect.audit_metrics import record
from sagakit.ctl.inspect.audit_slice import RETRY_INTERVAL_SECONDS, SliceOptions, audit_slice, lines
from sagakit.ctl.inspect.connect import open_tables
from sagakit.ctl.load import load_object
from sagakit.ctl.local.ports import LOOPBACK
from sagakit.ctl.project import Project
from sagakit.ctl.text import echo
from sagakit.runtime import Runtime
from sagakit.settings import SettingsError
from sagakit.telemetry.instruments import Metrics
from sagakit.telemetry.prometheus import serve_metrics

_SECONDS, _ABOVE_ZERO = click.FloatRange(0), click.FloatRange(0, min_open=True)
_SLICING = (
    click.option(
        "--slices",
        type=click.IntRange(1),
        help="Check only one of this many slices of the records, by the time.",
    ),
    click.option(
        "--every",
        type=_ABOVE_ZERO,
        default=3600,
        show_default=True,
        metavar="SECONDS",
        help="The next slice has its turn after this many seconds.",
    ),
    click.option(
        "--settled",
        type=_SECONDS,
        default=3600,
        show_default=True,
        metavar="SECONDS",
        help="Leave out orders opened in the last seconds, which may be in progress.",
    ),
    click.option(
        "--limit",
        type=click.IntRange(1),
        default=1_000_000,
        show_default=True,
        help="Entities of the slice that are read, at most.",
    ),
    click.option(
        "--seconds",
        type=_ABOVE_ZERO,
        default=900,
        show_default=True,
        help="Read the slice for at most this many seconds.",
    ),
    click.option(
        "--linger",
        type=_SECONDS,
        default=0,
        metavar="SECONDS",
        help="Serve the slice's metrics this long, if there is a METRICS_PORT.",
    ),
    click.option(
        "--metrics-port",
        type=click.IntRange(1, MAX_PORT),
        envvar="METRICS_PORT",
        help="Port of the slice's metrics.",
    ),
    click.option("--host", default=LOOPBACK, envvar="HOST", show_default=True, help="Address of the port."),
)
"""The options of a scheduled run, which checks one slice of the records."""


def _slicing(command: Callable[..., None]) -> Callable[..., None]:
    for option in _SLICING:
        command = option(command)
    return command


@click.command()
@options.wait("Retry for up to this many seconds until all records agree; with --slices also a failed read.")
@_slicing
@options.suite
def audit(
    wait: float,
    run_dir: Path,
    slices: int | None,
    linger: float,
    metrics_port: int | None,
    host: str,
    **limits: Any,
) -> None:
    """Check that the records of all services agree, and that no outbox holds an event; exit 1 if not.

    With --slices, for a schedule: check the orders of one slice, each by its own records.
    """
    if slices is not None:
        try:
            with serve_metrics("audit", host, metrics_port) as metrics:
                asyncio.run(_audit_slice(SliceOptions(slices, wait=wait, **limits), run_dir, metrics, linger))
        except SettingsError as error:
            raise CommandError(str(error)) from error
        return
    for name in ("linger", "metrics_port", "host", *limits):
        if options.is_given(name):
            raise click.UsageError(f"--{name.replace('_', '-')} needs --slices: without it, all is read")
    report = asyncio.run(_run_until_balanced(audits_of(options.project()), wait, run_dir))
    for line in report.summary:
        echo(line)
    for problem in report.problems:
        echo(problem, colour="red")
    if report.problems:
        sys.exit(1)
    echo("everything balances", colour="green")


async def _audit_slice(options_: SliceOptions, run_dir: Path, metrics: Metrics, linger: float) -> None:
    async with open_tables(run_dir) as tables:
        reports = await audit_slice(tables, audits_of(options.project()), options_, Runtime())
    record(metrics, reports)
    for line in lines(reports):
        echo(line)
    for report in reports:
        for problem in chain.from_iterable(report.problems.values()):
            echo(problem, colour="red")
    if metrics.enabled:
        await asyncio.sleep(linger)
    if any(report.problems or not report.complete for report in reports):
        sys.exit(1)
    echo("the slice balances", colour="green")


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
            await asyncio.sleep(RETRY_INTERVAL_SECONDS)
