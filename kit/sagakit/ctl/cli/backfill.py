"""`sagactl backfill`: publish again what a new service has missed."""

import asyncio
import sys
from collections import Counter
from pathlib import Path

import click

from sagakit.backfill import EVENTS_PER_SECOND, Backfill
from sagakit.backfill import backfill as results
from sagakit.ctl.cli import options
from sagakit.ctl.errors import CommandError
from sagakit.ctl.inspect.connect import open_suite_backend
from sagakit.ctl.load import load_object
from sagakit.ctl.project import Project
from sagakit.ctl.text import echo
from sagakit.runtime import Runtime


@click.command()
@click.argument("service")
@click.option("--execute", is_flag=True, help="Publish; without it, only print what would be published.")
@click.option("--after", default="", metavar="CURSOR", help="Continue a run that ended early.")
@options.rate(EVENTS_PER_SECOND, "Events to publish per second, at most.")
@options.suite
def backfill(service: str, execute: bool, after: str, rate: float, run_dir: Path) -> None:
    """Publish again what SERVICE has missed, because it is new; exit 1 if some cannot be published.

    It is the last event of each record of the services that SERVICE subscribes to, marked as a reminder, so
    that the others ignore it. Provision SERVICE first. Safe at any time: it can be interrupted, continued
    with --after, and run again.
    """
    sources = sources_of(options.project(), service)
    if after and after.partition("/")[0] not in sources:
        raise CommandError(f"--after {after}: no cursor of these topics: {', '.join(sources)}")
    sys.exit(asyncio.run(_run(sources, run_dir, after, rate, execute)))


def sources_of(project: Project, service: str) -> dict[str, Backfill]:
    """Return the records of those that a service subscribes to, by topic. Raises CommandError if none."""
    topology = project.topology
    if service not in topology.names:
        raise CommandError(f"no service {service!r}: {', '.join(topology.names)}")
    publishers = [each for each in topology.services if each.name in topology.service(service).subscribes_to]
    for each in publishers:
        if not each.backfill:
            echo(f"{each.name} declares no backfill: its events are left out", err=True)
    found = {str(each.topic): load_object(each.backfill, Backfill) for each in publishers if each.backfill}
    if not found:
        raise CommandError(f"no service that {service} subscribes to declares a backfill")
    return found


async def _run(sources: dict[str, Backfill], run_dir: Path, after: str, rate: float, execute: bool) -> int:
    """Publish, print how much, and return the exit status."""
    counts: Counter[str] = Counter(dict.fromkeys(sources, 0))
    problems = 0
    async with open_suite_backend(run_dir) as backend:
        try:
            async for each in results(
                *(backend.tables, backend.bus, sources, Runtime()),
                after=after,
                events_per_second=rate,
                dry_run=not execute,
            ):
                after = each.cursor
                if each.problem:
                    problems += 1
                    echo(each.problem, colour="red")
                elif each.event is not None:
                    counts[after.partition("/")[0]] += 1
        except BaseException:
            echo(f"ended early; continue with --after '{after}'", err=True)
            raise
    for topic, count in counts.items():
        echo(f"{topic}: {count} events {'published' if execute else 'would be published'}")
    return 1 if problems else 0
