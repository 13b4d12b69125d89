"""Calls of the stock service: seeding the catalogue, changing items."""

from contextlib import asynccontextmanager

import grpc
import pytest
from click.testing import CliRunner

from rpc.stock_pb2 import GetItemRequest, GetItemResponse, Item, PutItemRequest, PutItemResponse
from sagactl.cli.stock import stock
from sagactl.errors import CommandError
from sagactl.local.stock import CATALOGUE, Change, change_item, describe, put_if_absent
from tests.support.grpcserver import serving

BLUE = Item(itemid="blue", price=100, stock=5, available=5, shards=4)


@asynccontextmanager
async def stock_with(*items):
    """The address of a stock service that has those items, and what it was asked to put."""
    there = {item.itemid: item for item in items}
    put = []

    async def get_item(request, context):
        itemid = GetItemRequest.FromString(request).itemid
        if itemid not in there:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no item {itemid}")
        return GetItemResponse(item=there[itemid]).SerializeToString()

    async def put_item(request, _):
        asked = PutItemRequest.FromString(request)
        put.append(asked)
        return PutItemResponse(item=Item(itemid=asked.itemid, shards=asked.shards)).SerializeToString()

    methods = {"GetItem": get_item, "PutItem": put_item}
    async with serving("com.example.service.stock.Stock", methods) as address:
        yield address, put


def test_of_the_catalogue_what_sells_is_split_and_the_rest_is_whole():
    assert {item.itemid: item.shards for item in CATALOGUE} == {"blue": 8, "red": 8, "yellow": 1, "gold": 1}


async def test_the_catalogue_is_put_as_it_stands_and_over_nothing():
    async with stock_with() as (address, put):
        items = await put_if_absent(address, CATALOGUE)

    assert [item.itemid for item in items] == [item.itemid for item in CATALOGUE]
    assert put == [
        PutItemRequest(
            itemid=item.itemid,
            price=item.price,
            stock=item.stock,
            waives_payment=item.waives_payment,
            only_if_absent=True,
            shards=item.shards,
        )
        for item in CATALOGUE
    ]


async def test_a_change_of_shards_leaves_the_rest_as_it_is():
    async with stock_with(BLUE) as (address, put):
        await change_item(address, "blue", Change(shards=8))

    assert put == [PutItemRequest(itemid="blue", price=100, stock=5, shards=8)]


@pytest.mark.parametrize("items", [(BLUE,), ()], ids=["known", "new"])
async def test_shards_that_are_not_given_are_left_to_the_service(items):
    async with stock_with(*items) as (address, put):
        await change_item(address, "blue", Change(price=7))

    assert [(request.price, request.shards) for request in put] == [(7, 0)]


async def test_a_refusal_of_the_service_ends_the_command_with_its_words():
    async def refused(_, context):
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "blue is split into 4 shards already")

    with pytest.raises(CommandError, match="blue is split into 4 shards already"):
        async with serving("com.example.service.stock.Stock", {"GetItem": refused}) as address:
            await change_item(address, "blue", Change(shards=2))


@pytest.mark.parametrize(
    ("shards", "told"), [(0, ""), (1, ""), (2, ", in 2 shards"), (8, ", in 8 shards")], ids=str
)
def test_shards_are_told_of_where_there_is_more_than_one(shards, told):
    item = Item(itemid="red", price=50, stock=3, available=1, sold=2, waives_payment=True, shards=shards)

    units = "3 units (1 available, 0 reserved, 2 sold)"
    assert describe(item) == f"red: price 50, {units}{told}, waives payment"


@pytest.mark.parametrize("shards", ["0", "9", "-1", "many"])
def test_shards_that_cannot_be_are_refused_before_anybody_is_asked(shards):
    result = CliRunner().invoke(stock, ["set", "blue", "--shards", shards, "--stock-address", "127.0.0.1:1"])

    assert result.exit_code == 2
    assert "--shards" in result.output
