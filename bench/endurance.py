"""Long measurements: performance on large tables, and memory over time."""

import asyncio
from collections.abc import Mapping

from bench.figures import quantiles
from bench.growth import Growth, grown
from bench.http import Connection
from bench.orders import Clients, closed_cart, one_at_a_time, subscribed
from bench.run import RED, RED_ONLY, BenchRun
from bench.suite import RunningSuite
from bench.usage import Use
from bench.wire import Meter
from sagakit.backends import open_backend
from sagakit.runtime import Runtime
from sagakit.settings import BackendSettings

CLIENTS = 16
OPERATIONS = ("reads", "writes", "deletes")
QUIET_INTERVAL_SECONDS = 10
QUIET_TIMEOUT_SECONDS = 600
SOAK_ROUND = 20
"""Orders of each client between two memory samples."""


async def growth(run: BenchRun, size: Growth) -> None:
    """Measure empty and grown tables alternately, each with a meter."""
    empty_meter, grown_meter = Meter(), Meter()
    async with run.metered(empty_meter) as empty, run.metered(grown_meter) as big:
        orderid = await _one_order(big)
        settings = BackendSettings.from_environ({**big.environ, **run.hosts})
        both = (("empty", empty, empty_meter), ("grown", big, grown_meter))
        async with open_backend(settings, Runtime()) as backend, grown(backend.tables, orderid, size):
            for name, suite, meter in both * run.rounds:
                await _measure(run, name, suite, meter)
            # Sweepers pause for longer than `_quiet` waits, because a query of all these rows is slow.
            await big.settled(QUIET_TIMEOUT_SECONDS)
            await _quiet(grown_meter)


async def _measure(run: BenchRun, name: str, suite: RunningSuite, meter: Meter) -> None:
    times = await one_at_a_time(suite.gateway, RED, run.idle_orders // 2)
    run.keep(f"{name} tables, idle", quantiles(times.sagas), lambda each: -each["p50_ms"])
    meter.counts.clear()
    await run.throughput(suite, f"{name} tables, {CLIENTS} clients", CLIENTS)
    counts = meter.of(run.orders_of(CLIENTS))
    # Rows left by the simulated crash are processed meanwhile; the smallest count is the cost of an order.
    operations = {key: counts.get(key, 0.0) for key in OPERATIONS}
    run.keep(f"{name} tables, an order", operations, lambda each: -sum(each.values()))


async def _quiet(meter: Meter) -> None:
    """Wait until no more commits happen: the events of the rows left by the simulated crash are processed."""
    async with asyncio.timeout(QUIET_TIMEOUT_SECONDS):
        commits = -1
        while commits != (commits := meter.counts["RPC Commit"]):  # noqa: ASYNC110  it is a counter
            await asyncio.sleep(QUIET_INTERVAL_SECONDS)


async def soak(run: BenchRun, suite: RunningSuite, clients: int, seconds: float) -> None:
    """Place orders for `seconds`; sample each process's memory after the first tenth of the time."""
    use, loop = list[Mapping[str, Use]](), asyncio.get_running_loop()
    orders, started_at = 0, loop.time()
    async with subscribed(suite.environ) as endings, Clients(suite.gateway, endings, clients) as load:
        while (passed := loop.time() - started_at) < seconds:
            await load.shop(SOAK_ROUND * clients, RED_ONLY)
            orders += SOAK_ROUND * clients
            if passed >= seconds / 10:
                use.append((await suite.usage()).processes)
    run.results["soak"] = {
        "clients": clients,
        "orders": orders,
        "orders_per_s": round(orders / passed, 1),
        "mb_at_first": {name: round(each.megabytes) for name, each in use[0].items()},
        "mb_at_last": {name: round(each.megabytes) for name, each in use[-1].items()},
    }


async def _one_order(suite: RunningSuite) -> str:
    """Place an order and wait until everything balances."""
    connection = Connection(suite.gateway)
    cartid = await closed_cart(connection, RED)
    orderid: str = (await connection.call("/purchase/api/checkout", cartid=cartid))["order_ticket"]["orderid"]
    connection.close()
    await suite.audited()
    return orderid
