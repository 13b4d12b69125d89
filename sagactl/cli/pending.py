"""`sagactl pending`."""

import asyncio
import time
from pathlib import Path

import click

from sagactl.cli import options
from sagactl.inspect.connect import open_tables
from sagactl.inspect.pending import PendingOrder, pending_orders


@click.command()
@click.option(
    "--older-than",
    type=click.FloatRange(0),
    default=0,
    metavar="SECONDS",
    help="Only orders open for at least this many seconds.",
)
@options.run_dir
def pending(older_than: float, run_dir: Path) -> None:
    """List the orders that are not final or still await a reply, oldest first."""
    waiting = asyncio.run(_find(older_than, run_dir))
    for each in waiting:
        click.echo(each)
    if not waiting:
        click.echo("no pending orders")


async def _find(older_than: float, run_dir: Path) -> list[PendingOrder]:
    async with open_tables(run_dir) as tables:
        return await pending_orders(tables, time.time(), older_than)
