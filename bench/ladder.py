"""The ladder: which rate of orders a suite sustains, whatever the clients do meanwhile."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from bench.figures import Figures, show
from bench.open_loop import DRAIN_TIMEOUT_SECONDS, OpenLoop, arrivals
from bench.orders import Clients, Endings, always, subscribed
from bench.run import RED, BenchRun
from bench.rungs import Rung, figures, problems, sustainable
from bench.suite import Queued, RunningSuite
from bench.usage import usage_figures

NAME = "ladder"
RATES = (25.0, 50.0, 75.0, 100.0, 125.0, 150.0, 175.0, 200.0, 250.0, 300.0, 400.0)
RUNG_SECONDS = 30.0
PREPARING_CLIENTS = 16


@dataclass(frozen=True, slots=True)
class Ladder:
    """Rates to offer, in orders per second, from the lowest up."""

    rates: tuple[float, ...] = RATES
    seconds: float = RUNG_SECONDS
    """Duration of the arrivals of each rung."""
    seed: int = 1
    itemid: str = RED


async def climb(run: BenchRun, suite: RunningSuite, ladder: Ladder) -> None:
    """Measure rung by rung, up to the second that does not count: it shows how the suite fails beyond."""
    rungs: list[Rung] = []
    async with subscribed(suite.environ) as endings:
        for rate in ladder.rates:
            name = f"{NAME}, {ladder.itemid}, {rate:g}/s"
            rung, run.results[name] = await _rung(suite, endings, ladder, rate)
            rungs.append(rung)
            print(show({name: run.results[name]}), flush=True)
            if sum(bool(problems(each)) for each in rungs) == 2:
                break
    highest = sustainable(rungs)
    run.results[f"{NAME}, {ladder.itemid}"] = {
        "sustainable_per_s": highest.rate if highest else None,
        "beyond": {f"{each.rate:g}": problems(each) for each in rungs if problems(each)},
    }


def summary(results: Mapping[str, Figures]) -> Iterator[str]:
    """Yield what a ladder found, line by line; nothing if none was measured."""
    for name, ladder in results.items():
        if "sustainable_per_s" not in ladder:
            continue
        rate = ladder["sustainable_per_s"]
        yield f"{name}: " + ("no rate is sustainable" if rate is None else _sustained(name, rate, results))
        if not ladder["beyond"]:
            yield "  no higher rate was offered"
        for beyond, found in ladder["beyond"].items():
            yield f"  at {beyond} orders/s: {'; '.join(found)}"


def _sustained(name: str, rate: float, results: Mapping[str, Figures]) -> str:
    rung = results[f"{name}, {rate:g}/s"]
    return (
        f"{rate:g} orders/s are sustainable, p50 {rung['p50_ms']} ms and p99 {rung['p99_ms']} ms from when "
        f"an order was due, {rung['orders_per_cpu_s']} orders per CPU-second"
    )


async def _rung(suite: RunningSuite, endings: Endings, ladder: Ladder, rate: float) -> tuple[Rung, Figures]:
    """Offer a rate for the duration of a rung. Everything must balance afterwards."""
    times = arrivals(rate, ladder.seconds, ladder.seed)
    async with Clients(suite.gateway, endings, PREPARING_CLIENTS) as clients:
        carts = await clients.prepare(len(times), always(ladder.itemid))
    await suite.settled(DRAIN_TIMEOUT_SECONDS)
    before = await suite.usage()
    async with aclosing(OpenLoop(suite.gateway, endings)) as load:
        early = asyncio.create_task(_after(ladder.seconds / 3, suite))
        await load.run(carts, times, ladder.seconds)
        ended_at, approved = time.perf_counter(), len(load.observed.sagas)
        queued = (await early, await suite.backlog())
        await load.drain()
        await suite.settled(DRAIN_TIMEOUT_SECONDS)
        settle_seconds = time.perf_counter() - ended_at
    rung = Rung(rate, ladder.seconds, load.observed, approved, queued, settle_seconds)
    orders, rate_per_second = len(load.observed.sagas), approved / ladder.seconds
    usage = usage_figures(before, await suite.usage(), orders, rate_per_second)
    await suite.audited()
    return rung, {"seed": ladder.seed, **figures(rung), **usage}


async def _after(seconds: float, suite: RunningSuite) -> Queued:
    """Return the suite's queues after `seconds`."""
    await asyncio.sleep(seconds)
    return await suite.backlog()
