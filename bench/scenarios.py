"""Short measurements of a suite, and of the emulators without one."""

import statistics
import uuid

from bench.figures import quantiles
from bench.orders import Clients, Times, always, one_at_a_time, round_robin, subscribed
from bench.raw import SETTLED, TO_APPROVED, raw_chain, raw_rate
from bench.run import HOPS, RED_ONLY, BenchRun
from bench.suite import RunningSuite, running_baseline
from bench.wire import Meter
from sagactl.cli.stock import CatalogueItem, put_if_absent

DIFFERENT_ITEMS = 64
WARM_RAW_ORDERS = 3_000
"""The emulators' JVM needs this many orders to warm up, which makes it three times as fast."""


async def warm(run: BenchRun, orders: int = WARM_RAW_ORDERS) -> None:
    """Warm up the emulators."""
    if run.on_emulators:
        await raw_rate(run.environ, 64, orders, SETTLED)


async def idle(run: BenchRun, suite: RunningSuite) -> None:
    """Alternate sequential orders and rounds of the raw chain, so that both see the same machine load."""
    for itemid, hops in HOPS.items():
        times, raw = Times(), list[float]()
        for _ in range(4):
            some = await one_at_a_time(suite.gateway, itemid, run.idle_orders // 4)
            times.sagas += some.sagas
            times.checkouts += some.checkouts
            if run.on_emulators:
                raw += await raw_chain(run.environ, run.idle_orders // 4, hops)
        run.results[f"checkout, {itemid}, idle"] = quantiles(times.checkouts)
        run.results[f"saga, {itemid}, idle"] = quantiles(times.sagas)
        if raw:
            run.results[f"raw chain, {hops} hops"] = quantiles(raw)


async def throughput_and_raw_rate(run: BenchRun, suite: RunningSuite, clients: int) -> None:
    """Alternate `clients` clients of the suite and of the emulators themselves."""
    for _ in range(run.rounds):
        await run.throughput(suite, f"red, {clients} clients", clients)
        if run.on_emulators:
            for name, steps in (("raw rate", SETTLED), ("raw rate to approved", TO_APPROVED)):
                rate = await raw_rate(run.environ, clients, run.orders_of(clients), steps)
                figures = {"orders_per_s": round(rate, 1)}
                run.keep(f"{name}, {clients} clients", figures, lambda each: each["orders_per_s"])


async def from_carts(run: BenchRun, suite: RunningSuite, clients: int) -> None:
    """Measure orders from the creation of their carts."""
    async with subscribed(suite.environ) as endings, Clients(suite.gateway, endings, clients) as load:
        rate, times = await load.shop(run.orders_of(clients), RED_ONLY)
    name = f"red, {clients} clients, from cart"
    run.results[name] = {"orders_per_s": round(rate, 1), **quantiles(times.sagas)}


async def hot_item(run: BenchRun, suite: RunningSuite, clients: int) -> None:
    """Alternate orders for one item and orders for different items."""
    items = [CatalogueItem(f"item-{number}", 50, 100_000, True, 8) for number in range(DIFFERENT_ITEMS)]
    await put_if_absent(suite.addresses["stock"][0], items)
    different = round_robin([item.itemid for item in items])
    for _ in range(run.rounds):
        for name, next_item in (("hot item", RED_ONLY), ("different items", different)):
            await run.throughput(suite, f"{name}, {clients} clients", clients, next_item)


async def cost(run: BenchRun, orders: int) -> None:
    """Measure the operations of an order, from its checkout until everything balances."""
    for itemid in HOPS:
        meter = Meter()
        # Without sweeps, so that only the operations of orders are counted.
        async with run.metered(meter, SWEEP_SECONDS="3600") as suite:
            direct = {**suite.environ, **run.hosts}
            async with subscribed(direct) as endings, Clients(suite.gateway, endings, 1) as load:
                carts = await load.prepare(orders, always(itemid))
                await suite.audited()
                meter.counts.clear()
                await load.check_out(carts)
            await suite.audited()
            per_order = {**meter.of(orders), "dollars_per_million": meter.dollars(orders)}
            run.results[f"cost, {itemid}"] = per_order


async def calls(run: BenchRun, clients: int) -> None:
    """Measure the calls of Datastore an order, from checkout until everything is settled.

    Orders share them. The counting proxy makes each call slower, so that more share one.
    """
    meter, orders = Meter(), run.orders_of(clients)
    async with run.metered(meter, SWEEP_SECONDS="3600") as suite:
        direct = {**suite.environ, **run.hosts}
        async with subscribed(direct) as endings, Clients(suite.gateway, endings, clients) as load:
            carts = await load.prepare(orders, RED_ONLY)
            await suite.audited()
            meter.counts.clear()
            await load.check_out(carts)
        await suite.audited()
        found = meter.of(orders)
        figures = {"lookups": found["RPC Lookup"], "commits": found["RPC Commit"]}
        run.results[f"calls of Datastore, red, {clients} clients"] = figures


async def baseline(run: BenchRun, clients: int, orders: int) -> None:
    """Measure the textbook implementation with the same clients."""
    project = f"baseline-{uuid.uuid4().hex[:8]}"
    environ = {**run.hosts, "BACKEND": "gcp", "GOOGLE_CLOUD_PROJECT": project}
    async with (
        running_baseline(environ) as gateway,
        subscribed(environ) as endings,
        Clients(gateway, endings, clients) as load,
    ):
        rate, times = await load.check_out([f"cart-{number}" for number in range(orders)])
    run.results[f"baseline, {clients} clients"] = {"orders_per_s": round(rate, 2), **quantiles(times.sagas)}


async def start(run: BenchRun, suite: RunningSuite) -> None:
    """Measure the time from the start of a process until it serves."""
    seconds = [await suite.restarted("stock") for _ in range(5)]
    run.results["start of a service"] = {"median_s": round(statistics.median(seconds), 2)}
