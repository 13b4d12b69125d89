"""`sagactl seed`."""

import asyncio
import os
from pathlib import Path

import click

from sagactl.cli import options
from sagactl.local.catalogue import CATALOGUE
from sagactl.local.dev_tokens import tools_token
from sagactl.local.stock import START_SECONDS, address_or_local, describe, put_if_absent


@click.command()
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=START_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long the stock service may take to start.",
)
@options.stock_address
@options.run_dir
def seed(wait: float, stock_address: str | None, run_dir: Path) -> None:
    """Put the starting catalogue into the stock service; what is there already stays as it is."""
    address, token = address_or_local(stock_address, run_dir), tools_token(run_dir, os.environ)
    for item in asyncio.run(put_if_absent(address, CATALOGUE, token, wait)):
        click.echo(describe(item))
