"""`sagactl migrate`: bring stored entities into the shape that this release writes."""

import asyncio
import reprlib
import shlex
import sys
from pathlib import Path

import click

from sagakit.ctl.cli import options
from sagakit.ctl.errors import CommandError
from sagakit.ctl.inspect.connect import open_tables
from sagakit.ctl.text import echo
from sagakit.migrations import WRITES_PER_SECOND, Migrated, Migration
from sagakit.migrations import migrate as results
from sagakit.runtime import Runtime

EXAMPLES = 3
PROGRESS_INTERVAL = 1000
"""Entities between two lines of progress."""


@click.command()
@click.argument("name", required=False)
@click.option("--dry-run", is_flag=True, help="Print how many entities would change, and examples.")
@click.option("--after", default="", metavar="ENTITY", help="Continue after the entity of this name.")
@options.rate(WRITES_PER_SECOND, "Entities that are written per second, at most.")
@options.run_dir
def migrate(name: str | None, dry_run: bool, after: str, rate: float, run_dir: Path) -> None:
    """Convert the entities of a kind into a new shape; exit 1 if some cannot be converted.

    Without NAME, list the migrations. Safe beside running services, and at any time: it can be
    interrupted, continued with --after, and run again.
    """
    migrations = options.project().migrations
    if name is None:
        for line in [f"{each}: {of.kind}" for each, of in migrations.items()] or ["no migrations"]:
            echo(line)
        return
    options.act_on_suite(run_dir)
    if name not in migrations:
        raise CommandError(f"no migration {name!r}: sagactl migrate lists them")
    sys.exit(asyncio.run(_run(run_dir, migrations[name], after, rate, dry_run)))


async def _run(run_dir: Path, migration: Migration, after: str, rate: float, dry_run: bool) -> int:
    """Migrate, print results, and return the exit status."""
    read = converted = problems = 0
    async with open_tables(run_dir) as tables:
        found = results(tables, migration, Runtime(), after=after, writes_per_second=rate, dry_run=dry_run)
        try:
            async for each in found:
                after, read = each.key.name, read + 1
                converted += bool(each.writes)
                problems += bool(each.problem)
                if each.problem:
                    echo(f"{each.key.kind} {after}: not converted: {each.problem}", colour="red")
                elif each.writes and dry_run and converted <= EXAMPLES:
                    _print_changes(each)
                if read % PROGRESS_INTERVAL == 0:
                    echo(f"{read} read, {converted} converted; last: {after}", err=True)
        except BaseException:
            echo(f"{read} read, {converted} converted; continue with --after {shlex.quote(after)}", err=True)
            raise
    done = "would be converted" if dry_run else "converted"
    echo(f"{converted} of {read} entities {done}, {problems} cannot be")
    return 1 if problems else 0


def _print_changes(migrated: Migrated) -> None:
    for key, new in migrated.writes.items():
        old = migrated.before if key == migrated.key else {}
        changes = [
            f"{sign}{name}={reprlib.repr(value)}"
            for sign, entity, other in (("-", old, new), ("+", new, old))
            for name, value in entity.items()
            if name not in other or other[name] != value
        ]
        echo(f"{key.kind} {key.name}: {' '.join(changes)}")
