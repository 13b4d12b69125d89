"""The stock service as the tool sees it: putting items in, by gRPC."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from rpc.stock_pb2 import GetItemRequest, Item, PutItemRequest
from rpc.stock_pb2_grpc import StockStub
from sagactl.errors import CommandError
from sagactl.local.catalogue import CatalogueItem
from sagactl.local.runfile import read_suite
from sagakit.grpc.authentication import BearerClientInterceptor

if TYPE_CHECKING:
    from rpc.stock_pb2_grpc import StockAsyncStub  # It exists for the type checker only.

CALL_SECONDS = 10.0
START_SECONDS = 60.0
"""What a stock service that is only just starting has to answer."""

# Every call of this module may be repeated.
_RETRY = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
_CHANNEL_OPTIONS = (
    ("grpc.service_config", json.dumps(_RETRY)),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.enable_http_proxy", 0),
)


@dataclass(frozen=True, slots=True)
class Change:
    """What an item is to have from now on; None: what it has."""

    price: int | None = None
    stock: int | None = None
    waives_payment: bool | None = None
    shards: int | None = None


def address_or_local(address: str | None, run_dir: Path) -> str:
    """`address`, the first of several, or that of the suite that runs in `run_dir`."""
    if address:
        return address.split(",")[0].strip()
    suite = read_suite(run_dir)
    if suite is None:
        raise CommandError(f"no suite runs in {run_dir}: start one, or give --stock-address")
    return suite.addresses["stock"][0]


async def put_if_absent(
    address: str, items: Iterable[CatalogueItem], token: str = "", wait_seconds: float = START_SECONDS
) -> list[Item]:
    """The items as they are afterwards. A service that is starting is waited for."""
    async with _stock(address, token) as stub:
        return [await _put_if_absent(stub, item, wait_seconds) for item in items]


async def change_item(address: str, itemid: str, change: Change, token: str = "") -> Item:
    """The item after the change; one that was not there begins with 0 pieces at a price of 0."""
    async with _stock(address, token) as stub:
        item = await _get(stub, itemid)
        request = PutItemRequest(
            itemid=itemid,
            price=item.price if change.price is None else change.price,
            stock=item.stock if change.stock is None else change.stock,
            waives_payment=item.waives_payment if change.waives_payment is None else change.waives_payment,
            shards=change.shards or 0,
        )
        return (await stub.PutItem(request, timeout=CALL_SECONDS)).item


def describe(item: Item) -> str:
    """An item in a line."""
    waiver = ", waives payment" if item.waives_payment else ""
    shards = f", in {item.shards} shards" if item.shards > 1 else ""
    pieces = f"{item.stock} pieces ({item.available} available, {item.reserved} reserved, {item.sold} sold)"
    return f"{item.itemid}: price {item.price}, {pieces}{shards}{waiver}"


@asynccontextmanager
async def _stock(address: str, token: str) -> AsyncIterator["StockAsyncStub"]:
    signed_in = [BearerClientInterceptor(token)] if token else []
    async with grpc.aio.insecure_channel(
        address, options=_CHANNEL_OPTIONS, interceptors=signed_in
    ) as channel:
        try:
            yield StockStub(channel)
        except grpc.aio.AioRpcError as error:
            raise CommandError(f"stock at {address}: {error.code().name}, {error.details()}") from error


async def _put_if_absent(stub: "StockAsyncStub", item: CatalogueItem, wait_seconds: float) -> Item:
    request = PutItemRequest(
        itemid=item.itemid,
        price=item.price,
        stock=item.stock,
        waives_payment=item.waives_payment,
        only_if_absent=True,
        shards=item.shards,
    )
    return (await stub.PutItem(request, timeout=wait_seconds, wait_for_ready=True)).item


async def _get(stub: "StockAsyncStub", itemid: str) -> Item:
    try:
        return (await stub.GetItem(GetItemRequest(itemid=itemid), timeout=CALL_SECONDS)).item
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
        return Item(itemid=itemid)
