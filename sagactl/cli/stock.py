"""`sagactl stock`: change the inventory."""

import asyncio
import os
from pathlib import Path

import click

from sagactl.cli import options
from sagactl.local.dev_tokens import tool_token
from sagactl.local.stock import Change, change_item, describe
from sagactl.local.stock import stock_address as address_of


@click.group()
def stock() -> None:
    """Change the inventory."""


@stock.command("set")
@click.argument("itemid", metavar="ITEM")
@click.option("--price", type=click.IntRange(0), help="Price of one unit, in minor units of the currency.")
@click.option(
    "--total-stock", "stock", type=click.IntRange(0), help="Units ever added: available, reserved and sold."
)
@click.option(
    "--waives-payment/--charges-payment", default=None, help="Whether orders that contain the item are free."
)
@click.option(
    "--shards",
    type=click.IntRange(1, 8),
    help="Number of shards that the stock is split into; it can only grow.",
)
@options.stock_address
@options.run_dir
def set_(
    itemid: str,
    price: int | None,
    stock: int | None,
    waives_payment: bool | None,
    shards: int | None,
    stock_address: str | None,
    run_dir: Path,
) -> None:
    """Change an item, or add one. Options that are left out keep their value; of a new item they are 0."""
    address, token = address_of(stock_address, run_dir), tool_token(run_dir, os.environ)
    item = asyncio.run(change_item(address, itemid, Change(price, stock, waives_payment, shards), token))
    click.echo(describe(item))
