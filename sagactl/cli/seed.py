"""`sagactl seed`: add the starting catalogue."""

import asyncio
import os
from pathlib import Path

import click

from sagactl.cli import options
from sagactl.local.dev_tokens import tool_token
from sagactl.local.stock import CATALOGUE, START_TIMEOUT_SECONDS, describe, put_if_absent
from sagactl.local.stock import stock_address as address_of


@click.command()
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=START_TIMEOUT_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the stock service to start.",
)
@options.stock_address
@options.run_dir
def seed(wait: float, stock_address: str | None, run_dir: Path) -> None:
    """Add the items of the starting catalogue that are missing; existing items stay unchanged."""
    address, token = address_of(stock_address, run_dir), tool_token(run_dir, os.environ)
    for item in asyncio.run(put_if_absent(address, CATALOGUE, token, wait)):
        click.echo(describe(item))
