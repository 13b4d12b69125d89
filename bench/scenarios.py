"""What a suite is put through for some seconds, and what its emulators are put through without one."""

import statistics
import uuid

from bench.figures import quantiles
from bench.orders import Clients, Times, always, in_turn, one_at_a_time, watched
from bench.raw import SETTLED, TO_APPROVED, raw_chain, raw_rate
from bench.rounds import HOPS, RED_ONLY, Bench
from bench.suite import RunningSuite, running_baseline
from bench.wire import Meter
from sagactl.local.catalogue import CatalogueItem
from sagactl.local.stock import put_if_absent

DIFFERENT_ITEMS = 64
WARM_RAW_ORDERS = 3_000
"""Until then the emulators' Java gets faster: three times as fast, in the end, as at first."""


async def warm(bench: Bench, orders: int = WARM_RAW_ORDERS) -> None:
    """Nothing is measured."""
    if bench.on_emulators:
        await raw_rate(bench.environ, 64, orders, SETTLED)


async def idle(bench: Bench, suite: RunningSuite) -> None:
    """One order at a time, between rounds of the raw chain: both see the same moods of the machine."""
    for itemid, hops in HOPS.items():
        times, raw = Times(), list[float]()
        for _ in range(4):
            some = await one_at_a_time(suite.gateway, itemid, bench.idle_orders // 4)
            times.sagas += some.sagas
            times.checkouts += some.checkouts
            if bench.on_emulators:
                raw += await raw_chain(bench.environ, bench.idle_orders // 4, hops)
        bench.results[f"checkout, {itemid}, idle"] = quantiles(times.checkouts)
        bench.results[f"saga, {itemid}, idle"] = quantiles(times.sagas)
        if raw:
            bench.results[f"raw chain, {hops} hops"] = quantiles(raw)


async def beside_raw(bench: Bench, suite: RunningSuite, clients: int) -> None:
    """So many clients of the suite, and so many of the emulators themselves, in turns."""
    for _ in range(bench.rounds):
        await bench.throughput(suite, f"red, {clients} clients", clients)
        if bench.on_emulators:
            for name, steps in (("raw rate", SETTLED), ("raw rate to approved", TO_APPROVED)):
                rate = await raw_rate(bench.environ, clients, bench.orders_of(clients), steps)
                figures = {"orders_per_s": round(rate, 1)}
                bench.keep(f"{name}, {clients} clients", figures, lambda each: each["orders_per_s"])


async def from_carts(bench: Bench, suite: RunningSuite, clients: int) -> None:
    """Orders from create_cart on."""
    async with watched(suite.environ) as endings, Clients(suite.gateway, endings, clients) as crowd:
        rate, times = await crowd.shop(bench.orders_of(clients), RED_ONLY)
    name = f"red, {clients} clients, from cart"
    bench.results[name] = {"orders_per_s": round(rate, 1), **quantiles(times.sagas)}


async def hot_item(bench: Bench, suite: RunningSuite, clients: int) -> None:
    """Everybody wants the same item, and everybody another one, in turns."""
    items = [CatalogueItem(f"item-{number}", 50, 100_000, True, 8) for number in range(DIFFERENT_ITEMS)]
    await put_if_absent(suite.addresses["stock"][0], items)
    different = in_turn([item.itemid for item in items])
    for _ in range(bench.rounds):
        for name, next_item in (("hot item", RED_ONLY), ("different items", different)):
            await bench.throughput(suite, f"{name}, {clients} clients", clients, next_item)


async def cost(bench: Bench, orders: int) -> None:
    """What goes over the wire for an order, from its checkout until everything about it is settled."""
    for itemid in HOPS:
        meter = Meter()
        # No sweeper comes by: what is counted is what orders ask for.
        async with bench.metered(meter, SWEEP_SECONDS="3600") as suite:
            direct = {**suite.environ, **bench.hosts}
            async with watched(direct) as endings, Clients(suite.gateway, endings, 1) as crowd:
                carts = await crowd.prepare(orders, always(itemid))
                await suite.audited()
                meter.counts.clear()
                await crowd.check_out(carts)
            await suite.audited()
            per_order = {**meter.of(orders), "dollars_per_million": meter.dollars(orders)}
            bench.results[f"cost, {itemid}"] = per_order


async def baseline(bench: Bench, clients: int, orders: int) -> None:
    """The textbook way, with the same clients."""
    project = f"baseline-{uuid.uuid4().hex[:8]}"
    environ = {**bench.hosts, "BACKEND": "gcp", "GOOGLE_CLOUD_PROJECT": project}
    async with (
        running_baseline(environ) as gateway,
        watched(environ) as endings,
        Clients(gateway, endings, clients) as crowd,
    ):
        rate, times = await crowd.check_out([f"cart-{number}" for number in range(orders)])
    bench.results[f"baseline, {clients} clients"] = {"orders_per_s": round(rate, 2), **quantiles(times.sagas)}


async def start(bench: Bench, suite: RunningSuite) -> None:
    """From the start of a service's process to its serving."""
    seconds = [await suite.restarted("stock") for _ in range(5)]
    bench.results["start of a service"] = {"median_s": round(statistics.median(seconds), 2)}
