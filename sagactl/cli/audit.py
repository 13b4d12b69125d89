"""`sagactl audit`."""

import asyncio
import sys
import time
from pathlib import Path

import click

from sagactl.cli import options
from sagactl.inspect.audit import figures, problems
from sagactl.inspect.connect import open_tables
from sagactl.inspect.records import Books, read_books

_PAUSE_SECONDS = 1.0


@click.command()
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=0,
    metavar="SECONDS",
    help="Try again for so long, until it balances.",
)
@options.run_dir
def audit(wait: float, run_dir: Path) -> None:
    """Check that all books agree: stock, money, orders, outboxes; exit 1 where they do not."""
    books = asyncio.run(_settled_books(wait, run_dir))
    for line in figures(books):
        click.echo(line)
    found = problems(books)
    for problem in found:
        click.secho(problem, fg="red")
    if found:
        sys.exit(1)
    click.secho("everything balances", fg="green")


async def _settled_books(wait: float, run_dir: Path) -> Books:
    deadline = time.monotonic() + wait
    async with open_tables(run_dir) as tables:
        while True:
            books = await read_books(tables)
            if not problems(books) or time.monotonic() >= deadline:
                return books
            await asyncio.sleep(_PAUSE_SECONDS)
