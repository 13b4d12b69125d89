"""`sagactl seed`."""

import asyncio
from pathlib import Path

import click

from sagactl.catalogue import CATALOGUE
from sagactl.commands import options
from sagactl.stock import address_or_local, describe, put_if_absent


@click.command()
@options.stock_address
@options.run_dir
def seed(stock_address: str | None, run_dir: Path) -> None:
    """Put the starting catalogue into the stock service; what is there already stays as it is."""
    for item in asyncio.run(put_if_absent(address_or_local(stock_address, run_dir), CATALOGUE)):
        click.echo(describe(item))
