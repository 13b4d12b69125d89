"""`sagactl stock` and `sagactl seed`: change the inventory, add the starting catalogue."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import grpc

from contract.calls import channel_options
from contract.shop import SHOP
from rpc.stock_pb2 import DESCRIPTOR, GetItemRequest, Item, PutItemRequest
from rpc.stock_pb2_grpc import StockStub
from sagactl.cli.stock_address import stock_address_option, stock_of
from sagakit.ctl.cli import options
from sagakit.ctl.errors import CommandError
from sagakit.ctl.local.dev_tokens import tool_token
from sagakit.ctl.local.signals import until_stopped
from sagakit.ctl.text import echo
from sagakit.grpc.authentication import BearerClientInterceptor

if TYPE_CHECKING:
    from rpc.stock_pb2_grpc import StockAsyncStub  # It exists for the type checker only.

CALL_TIMEOUT_SECONDS = 10.0
START_TIMEOUT_SECONDS = 60.0
"""Time for the stock service to start."""

RETRY_INTERVAL_SECONDS = 1.0
_STOCK = DESCRIPTOR.services_by_name["Stock"].full_name


@dataclass(frozen=True, slots=True)
class CatalogueItem:
    """An item of the starting catalogue."""

    itemid: str
    price: int
    """Price of one unit, in minor units of the currency."""
    stock: int
    waives_payment: bool = False
    shards: int = 1


CATALOGUE = (
    CatalogueItem("blue", price=100, stock=100_000, shards=8),
    CatalogueItem("red", price=50, stock=100_000, waives_payment=True, shards=8),
    CatalogueItem("yellow", price=100, stock=0),  # sold out
    CatalogueItem("gold", price=1_000_000, stock=10),  # above the payment limit
)
"""Items for orders that are approved, sold out and above the payment limit."""


@dataclass(frozen=True, slots=True)
class Change:
    """New values of an item; None keeps the value."""

    price: int | None = None
    stock: int | None = None
    waives_payment: bool | None = None
    shards: int | None = None


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
@stock_address_option
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
    """Change an item, or add one with --price. Options that are left out keep their value.

    A new item has stock 0 and one shard, and charges payment, unless options set other values.
    """
    address, token = stock_of(stock_address, run_dir), tool_token(run_dir, SHOP)
    item = asyncio.run(change_item(address, itemid, Change(price, stock, waives_payment, shards), token))
    echo(describe(item))


@click.command()
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=START_TIMEOUT_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the stock service to start.",
)
@click.option(
    "--interval",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Repeat every N seconds until stopped; for emulators, which lose items on restart.",
)
@stock_address_option
@options.run_dir
def seed(wait: float, interval: float | None, stock_address: str | None, run_dir: Path) -> None:
    """Add the items of the starting catalogue that are missing; existing items stay unchanged."""
    address, token = stock_of(stock_address, run_dir), tool_token(run_dir, SHOP)
    if interval is not None:
        asyncio.run(until_stopped(keep_seeded(address, token, interval, echo)))
        return
    for item in asyncio.run(put_if_absent(address, CATALOGUE, token, wait)):
        echo(describe(item))


async def keep_seeded(
    address: str,
    token: str,
    interval_seconds: float,
    print_: Callable[[str], object],
    timeout_seconds: float = CALL_TIMEOUT_SECONDS,
) -> None:
    """Add the items that are missing at this interval; print changes of state."""
    printed = ""
    while True:
        try:
            await put_if_absent(address, CATALOGUE, token, timeout_seconds)
            state = "seeded"
        except CommandError as error:
            state = str(error)
        if state != printed:
            print_(state)
        printed = state
        await asyncio.sleep(interval_seconds)


async def put_if_absent(
    address: str,
    items: Sequence[CatalogueItem],
    token: str = "",
    timeout_seconds: float = START_TIMEOUT_SECONDS,
) -> list[Item]:
    """Add the items that are missing and return all of them. Waits for a service that is starting.

    Raises CommandError if it is not available within the timeout.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            # Each attempt has a channel of its own, which asks for the name at once: gRPC itself asks for one
            # that does not exist at intervals that grow up to two minutes.
            async with _connect(address, token) as stock:
                return [await _put_if_absent(stock, item, deadline) for item in items]
        except CommandError as error:
            if _code(error) is not grpc.StatusCode.UNAVAILABLE or time.monotonic() >= deadline:
                raise
        await asyncio.sleep(RETRY_INTERVAL_SECONDS)


async def _put_if_absent(stock: "StockAsyncStub", item: CatalogueItem, deadline: float) -> Item:
    request = PutItemRequest(**asdict(item), only_if_absent=True)
    return (await stock.PutItem(request, timeout=max(0.0, deadline - time.monotonic()))).item


def _code(error: CommandError) -> grpc.StatusCode | None:
    cause = error.__cause__
    return cause.code() if isinstance(cause, grpc.aio.AioRpcError) else None


async def change_item(address: str, itemid: str, change: Change, token: str = "") -> Item:
    """Change an item and return it; a new one starts with 0 units, in one shard.

    Raises CommandError if it does not exist and `change` has no price: its id may be mistyped.
    """
    async with _connect(address, token) as stock:
        item = await _get(stock, itemid)
        if item is None and change.price is None:
            raise CommandError(f"there is no item {itemid}: to add it, give its --price")
        item = item or Item(itemid=itemid)
        request = PutItemRequest(
            itemid=itemid,
            price=item.price if change.price is None else change.price,
            stock=item.stock if change.stock is None else change.stock,
            waives_payment=item.waives_payment if change.waives_payment is None else change.waives_payment,
            shards=change.shards or 0,
        )
        return (await stock.PutItem(request, timeout=CALL_TIMEOUT_SECONDS)).item


def describe(item: Item) -> str:
    """Return an item in one line."""
    free = ", waives payment" if item.waives_payment else ""
    shards = f", in {item.shards} shards" if item.shards > 1 else ""
    units = f"{item.stock} units ({item.available} available, {item.reserved} reserved, {item.sold} sold)"
    return f"{item.itemid}: price {item.price}, {units}{shards}{free}"


@asynccontextmanager
async def _connect(address: str, token: str) -> AsyncIterator["StockAsyncStub"]:
    interceptors = [BearerClientInterceptor(token)] if token else []
    options = channel_options(_STOCK)
    async with grpc.aio.insecure_channel(address, options, interceptors=interceptors) as channel:
        try:
            yield StockStub(channel)
        except grpc.aio.AioRpcError as error:
            raise CommandError(f"stock at {address}: {error.code().name}, {error.details()}") from error


async def _get(stock: "StockAsyncStub", itemid: str) -> Item | None:
    try:
        return (await stock.GetItem(GetItemRequest(itemid=itemid), timeout=CALL_TIMEOUT_SECONDS)).item
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
        return None
