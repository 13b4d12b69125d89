"""`sagactl stock …`."""

import asyncio
import os
from pathlib import Path

import click

from sagactl.cli import options
from sagactl.local.dev_tokens import tools_token
from sagactl.local.stock import Change, address_or_local, change_item, describe


@click.group()
def stock() -> None:
    """Look after the inventory."""


@stock.command("set")
@click.argument("itemid", metavar="ITEM")
@click.option("--price", type=click.IntRange(0), help="For one piece, in minor units of the currency.")
@click.option("--stock", "pieces", type=click.IntRange(0), help="Pieces ever put in.")
@click.option(
    "--waives-payment/--charges-payment", default=None, help="Whether an order that contains it is charged."
)
@click.option(
    "--shards", type=click.IntRange(1, 8), help="Into how many parts the stock is split; it only grows."
)
@options.stock_address
@options.run_dir
def set_(
    itemid: str,
    price: int | None,
    pieces: int | None,
    waives_payment: bool | None,
    shards: int | None,
    stock_address: str | None,
    run_dir: Path,
) -> None:
    """Change an item, or put a new one in; what is not given stays as it is, or is 0."""
    address, token = address_or_local(stock_address, run_dir), tools_token(run_dir, os.environ)
    item = asyncio.run(change_item(address, itemid, Change(price, pieces, waives_payment, shards), token))
    click.echo(describe(item))
