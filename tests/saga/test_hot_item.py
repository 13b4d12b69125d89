"""Everybody wants the same item: every piece of it is sold once, and nobody is refused one that is there."""

import asyncio
from collections import Counter
from collections.abc import Mapping

from rpc import stock_pb2 as stock_pb
from tests.support.eventually import eventually
from tests.support.suite import Suite, running_suite

CLIENTS = 64


async def put(suite: Suite, itemid: str, pieces: int, shards: int) -> None:
    request = stock_pb.PutItemRequest(itemid=itemid, price=1, stock=pieces, shards=shards)
    await suite.stock.PutItem(request)


async def ordered(suite: Suite, itemid: str, orders: int, count: int = 1) -> list[str]:
    gate = asyncio.Semaphore(CLIENTS)

    async def order(number: int) -> str:
        async with gate:
            return (await suite.order(f"c{number}", **{itemid: count})).orderid

    return await asyncio.gather(*(order(number) for number in range(orders)))


async def ends(suite: Suite, orderids: list[str], seconds: float) -> Counter[str]:
    async def all_ended() -> Counter[str] | None:
        statuses = Counter([(await suite.ticket(orderid)).status for orderid in orderids])
        return None if statuses["pre-approved"] or statuses["reserved"] else statuses

    return await eventually(all_ended, seconds, pause=0.5)


async def test_of_a_thousand_orders_for_five_hundred_pieces_five_hundred_get_one(
    backend_environ: Mapping[str, str],
):
    async with running_suite(backend_environ) as suite:
        await put(suite, "hot", pieces=500, shards=8)

        orderids = await ordered(suite, "hot", orders=1_000)

        assert await ends(suite, orderids, seconds=90) == {"approved": 500, "reserve-failed": 500}
        await suite.balances()
        hot = await suite.item("hot")
        assert (hot.available, hot.reserved, hot.sold) == (0, 0, 500)


async def test_an_order_that_no_shard_can_fill_is_filled_by_several(backend_environ: Mapping[str, str]):
    async with running_suite(backend_environ, replicas=2) as suite:
        await put(suite, "hot", pieces=40, shards=8)

        orderids = await ordered(suite, "hot", orders=7, count=6)

        assert await ends(suite, orderids, seconds=30) == {"approved": 6, "reserve-failed": 1}
        await suite.balances()
        assert (await suite.item("hot")).available == 4
