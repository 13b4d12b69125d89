"""Many orders for one item: every unit is sold once, and no order fails while units are available."""

import asyncio
from collections import Counter
from collections.abc import Mapping

from rpc import stock_pb2 as stock_pb
from tests.support.eventually import eventually
from tests.support.suite import Suite, running_suite

CLIENTS = 64


async def put(suite: Suite, itemid: str, units: int, shards: int) -> None:
    request = stock_pb.PutItemRequest(itemid=itemid, price=1, stock=units, shards=shards)
    await suite.stock.PutItem(request)


async def ordered(suite: Suite, itemid: str, orders: int, count: int = 1) -> list[str]:
    limit = asyncio.Semaphore(CLIENTS)

    async def order(number: int) -> str:
        async with limit:
            return (await suite.order(f"c{number}", **{itemid: count})).orderid

    return await asyncio.gather(*(order(number) for number in range(orders)))


async def ends(suite: Suite, orderids: list[str], seconds: float) -> Counter[str]:
    async def all_ended() -> Counter[str] | None:
        statuses = Counter([(await suite.ticket(orderid)).status for orderid in orderids])
        return None if statuses["pre-approved"] or statuses["reserved"] else statuses

    return await eventually(all_ended, seconds, pause=0.5)


async def test_half_of_a_thousand_orders_get_the_five_hundred_units(
    backend_environ: Mapping[str, str],
):
    async with running_suite(backend_environ) as suite:
        await put(suite, "hot", units=500, shards=8)

        orderids = await ordered(suite, "hot", orders=1_000)

        assert await ends(suite, orderids, seconds=90) == {"approved": 500, "reserve-failed": 500}
        await suite.balances()
        hot = await suite.item("hot")
        assert (hot.available, hot.reserved, hot.sold) == (0, 0, 500)


async def test_order_larger_than_any_shard_is_filled_from_several(backend_environ: Mapping[str, str]):
    async with running_suite(backend_environ, replicas=2) as suite:
        await put(suite, "hot", units=40, shards=8)

        orderids = await ordered(suite, "hot", orders=7, count=6)

        assert await ends(suite, orderids, seconds=30) == {"approved": 6, "reserve-failed": 1}
        await suite.balances()
        assert (await suite.item("hot")).available == 4
