"""`sagactl order`."""

import asyncio
from pathlib import Path

import click

from sagactl.cli import options
from sagactl.inspect.connect import open_tables
from sagactl.inspect.timeline import describe


@click.command()
@click.argument("orderid")
@options.run_dir
def order(orderid: str, run_dir: Path) -> None:
    """Show an order: its ticket, what happened at every service, and what is still open."""
    for line in asyncio.run(_describe(orderid, run_dir)):
        click.echo(line)


async def _describe(orderid: str, run_dir: Path) -> list[str]:
    async with open_tables(run_dir) as tables:
        return await describe(tables, orderid)
