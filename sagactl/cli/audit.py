"""`sagactl audit`: compare the records of all services."""

import asyncio
import sys
import time
from pathlib import Path

import click

from sagactl.inspect.audit import problems, summary
from sagactl.inspect.records import Records, load_records
from sagakit.ctl.cli import options
from sagakit.ctl.inspect.connect import open_tables
from sagakit.ctl.text import echo

_RETRY_INTERVAL_SECONDS = 1.0


@click.command()
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=0,
    metavar="SECONDS",
    help="Retry for up to this many seconds until all records agree.",
)
@options.suite
def audit(wait: float, run_dir: Path) -> None:
    """Check that stock, money, orders and outboxes agree over all services; exit 1 if they do not."""
    records = asyncio.run(_load_balanced(wait, run_dir))
    for line in summary(records):
        echo(line)
    found = problems(records)
    for problem in found:
        echo(problem, colour="red")
    if found:
        sys.exit(1)
    echo("everything balances", colour="green")


async def _load_balanced(wait: float, run_dir: Path) -> Records:
    deadline = time.monotonic() + wait
    async with open_tables(run_dir) as tables:
        while True:
            records = await load_records(tables)
            if not problems(records) or time.monotonic() >= deadline:
                return records
            await asyncio.sleep(_RETRY_INTERVAL_SECONDS)
