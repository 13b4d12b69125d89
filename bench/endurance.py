"""What takes long: tables that have grown, and memory that must not."""

import asyncio
from collections.abc import Mapping

from bench.figures import quantiles
from bench.growth import Growth, grown
from bench.http import Connection
from bench.orders import Clients, closed_cart, one_at_a_time, watched
from bench.rounds import RED, RED_ONLY, Bench
from bench.suite import RunningSuite, Use
from bench.wire import Meter
from sagakit.backends import BackendSettings, open_backend
from sagakit.runtime import Runtime

CLIENTS = 16
OPERATIONS = ("reads", "writes", "deletes")
QUIET_SECONDS = 10
QUIET_BY_SECONDS = 600
SOAK_ROUND = 20
"""Orders of each client between two looks at the memory."""


async def growth(bench: Bench, how_far: Growth) -> None:
    """The same on empty tables and on grown ones, in turns; both behind a meter."""
    empty_meter, grown_meter = Meter(), Meter()
    async with bench.metered(empty_meter) as empty, bench.metered(grown_meter) as big:
        orderid = await _one_order(big)
        settings = BackendSettings.from_environ({**big.environ, **bench.hosts})
        both = (("empty", empty, empty_meter), ("grown", big, grown_meter))
        async with open_backend(settings, Runtime()) as backend, grown(backend.tables, orderid, how_far):
            for name, suite, meter in both * bench.rounds:
                await _like_ever(bench, name, suite, meter)
            await _quiet(grown_meter)


async def _like_ever(bench: Bench, name: str, suite: RunningSuite, meter: Meter) -> None:
    times = await one_at_a_time(suite.gateway, RED, bench.idle_orders // 2)
    bench.keep(f"{name} tables, idle", quantiles(times.sagas), lambda each: -each["p50_ms"])
    meter.counts.clear()
    await bench.throughput(suite, f"{name} tables, {CLIENTS} clients", CLIENTS)
    counts = meter.of(bench.orders_of(CLIENTS))
    # What a crash has left is put in order meanwhile, once: the fewest are what an order asks for.
    operations = {key: counts.get(key, 0.0) for key in OPERATIONS}
    bench.keep(f"{name} tables, an order", operations, lambda each: -sum(each.values()))


async def _quiet(meter: Meter) -> None:
    """Nobody has committed anything for a while: what the crash had left is dealt with everywhere."""
    async with asyncio.timeout(QUIET_BY_SECONDS):
        commits = -1
        while commits != (commits := meter.counts["RPC Commit"]):  # noqa: ASYNC110  it is a counter
            await asyncio.sleep(QUIET_SECONDS)


async def soak(bench: Bench, suite: RunningSuite, clients: int, seconds: float) -> None:
    """Orders from create_cart on for so long, and the memory of each process from a tenth of it on."""
    use, loop = list[Mapping[str, Use]](), asyncio.get_running_loop()
    orders, began = 0, loop.time()
    async with watched(suite.environ) as endings, Clients(suite.gateway, endings, clients) as crowd:
        while (passed := loop.time() - began) < seconds:
            await crowd.shop(SOAK_ROUND * clients, RED_ONLY)
            orders += SOAK_ROUND * clients
            if passed >= seconds / 10:
                use.append(await suite.use())
    bench.results["soak"] = {
        "clients": clients,
        "orders": orders,
        "orders_per_s": round(orders / passed, 1),
        "mb_at_first": {name: round(each.megabytes) for name, each in use[0].items()},
        "mb_at_last": {name: round(each.megabytes) for name, each in use[-1].items()},
    }


async def _one_order(suite: RunningSuite) -> str:
    """An order that has ended, everywhere."""
    connection = Connection(suite.gateway)
    cartid = await closed_cart(connection, RED)
    orderid: str = (await connection.ask("/purchase/api/checkout", cartid=cartid))["order_ticket"]["orderid"]
    connection.close()
    await suite.audited()
    return orderid
