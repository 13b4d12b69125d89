"""`sagactl stuck`."""

import asyncio
import time
from pathlib import Path

import click

from sagactl.cli import options
from sagactl.inspect.connect import open_tables
from sagactl.inspect.pending import Waiting
from sagactl.inspect.pending import stuck as find


@click.command()
@click.option(
    "--older-than",
    type=click.FloatRange(0),
    default=0,
    metavar="SECONDS",
    help="Only those open for so long.",
)
@options.run_dir
def stuck(older_than: float, run_dir: Path) -> None:
    """List the orders that have not come to rest, the oldest first."""
    waiting = asyncio.run(_find(older_than, run_dir))
    for each in waiting:
        click.echo(each)
    if not waiting:
        click.echo("nothing waits")


async def _find(older_than: float, run_dir: Path) -> list[Waiting]:
    async with open_tables(run_dir) as tables:
        return await find(tables, time.time(), older_than)
