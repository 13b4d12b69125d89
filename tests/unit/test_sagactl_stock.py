"""Calls to the stock service: seeding the catalogue, changing items."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import asdict

import grpc
import pytest
from click.testing import CliRunner

from rpc.stock_pb2 import GetItemRequest, GetItemResponse, Item, PutItemRequest, PutItemResponse
from sagactl.cli.stock import CATALOGUE, Change, change_item, describe, keep_seeded, put_if_absent, stock
from sagakit.ctl.errors import CommandError
from tests.support.eventually import eventually
from tests.support.grpcserver import serving

BLUE = Item(itemid="blue", price=100, stock=5, available=5, shards=4)


@asynccontextmanager
async def stock_with(*items):
    """Serve these items; yield the address, and the requests to put items."""
    found = {item.itemid: item for item in items}
    put = []

    async def get_item(request, context):
        itemid = GetItemRequest.FromString(request).itemid
        if itemid not in found:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no item {itemid}")
        return GetItemResponse(item=found[itemid]).SerializeToString()

    async def put_item(request, _):
        message = PutItemRequest.FromString(request)
        put.append(message)
        return PutItemResponse(item=Item(itemid=message.itemid, shards=message.shards)).SerializeToString()

    methods = {"GetItem": get_item, "PutItem": put_item}
    async with serving("com.example.service.stock.Stock", methods) as address:
        yield address, put


def test_hot_items_of_the_catalogue_have_eight_shards():
    assert {item.itemid: item.shards for item in CATALOGUE} == {"blue": 8, "red": 8, "yellow": 1, "gold": 1}


async def test_seeding_overwrites_no_item():
    async with stock_with() as (address, put):
        items = await put_if_absent(address, CATALOGUE)

    assert [item.itemid for item in items] == [item.itemid for item in CATALOGUE]
    assert put == [PutItemRequest(**asdict(item), only_if_absent=True) for item in CATALOGUE]


async def test_lost_items_are_added_again():
    async with stock_with() as (address, put):
        seeding = asyncio.create_task(keep_seeded(address, "", 0.01, lambda _: None))

        await eventually(lambda: len(put) > len(CATALOGUE))
        seeding.cancel()

    assert {request.only_if_absent for request in put} == {True}


async def test_repeated_seeding_survives_an_unavailable_service():
    printed = []
    seeding = asyncio.create_task(keep_seeded("127.0.0.1:2", "", 0.01, printed.append, timeout_seconds=0.1))

    await eventually(lambda: bool(printed))

    assert not seeding.done()
    assert printed[0].startswith("stock at 127.0.0.1:2: ")
    seeding.cancel()


async def test_change_of_shards_keeps_the_rest():
    async with stock_with(BLUE) as (address, put):
        await change_item(address, "blue", Change(shards=8))

    assert put == [PutItemRequest(itemid="blue", price=100, stock=5, shards=8)]


@pytest.mark.parametrize("items", [(BLUE,), ()], ids=["known", "new"])
async def test_omitted_shards_are_chosen_by_the_service(items):
    async with stock_with(*items) as (address, put):
        await change_item(address, "blue", Change(price=7))

    assert [(request.price, request.shards) for request in put] == [(7, 0)]


async def test_item_that_does_not_exist_is_not_added_without_a_price():
    async with stock_with(BLUE) as (address, put):
        with pytest.raises(CommandError, match="there is no item bleu: to add it, give its --price"):
            await change_item(address, "bleu", Change(stock=200_000))

    assert put == []


async def test_rejection_by_the_service_is_the_commands_error():
    async def reject(_, context):
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "blue is split into 4 shards already")

    with pytest.raises(CommandError, match="blue is split into 4 shards already"):
        async with serving("com.example.service.stock.Stock", {"GetItem": reject}) as address:
            await change_item(address, "blue", Change(shards=2))


@pytest.mark.parametrize(
    ("shards", "text"), [(0, ""), (1, ""), (2, ", in 2 shards"), (8, ", in 8 shards")], ids=str
)
def test_number_of_shards_is_shown_if_it_is_not_one(shards, text):
    item = Item(itemid="red", price=50, stock=3, available=1, sold=2, waives_payment=True, shards=shards)

    units = "3 units (1 available, 0 reserved, 2 sold)"
    assert describe(item) == f"red: price 50, {units}{text}, waives payment"


@pytest.mark.parametrize("shards", ["0", "9", "-1", "many"])
def test_invalid_number_of_shards_is_rejected_before_any_call(shards):
    result = CliRunner().invoke(stock, ["set", "blue", "--shards", shards, "--stock-address", "127.0.0.1:1"])

    assert result.exit_code == 2
    assert "--shards" in result.output
