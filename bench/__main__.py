"""`make bench`: measure the suite from outside and, in the same run, the raw rate of its backend."""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from bench import endurance, scenarios
from bench.facts import describe, facts, was_busy
from bench.figures import as_run, draw, show, store
from bench.followers import followers
from bench.growth import Growth
from bench.ladder import RATES, RUNG_SECONDS, Ladder, climb, summary
from bench.releases import draw_releases, keep
from bench.run import HOPS, RED, BenchRun
from bench.targets import targets
from sagakit.ctl.local.emulators import FIRESTORE, PUBSUB, running, why_unavailable

RESULTS, PLOT, RELEASES = Path("build/bench.json"), Path("build/bench.svg"), Path("build/bench-releases.svg")
SOAK_SECONDS, SOAK_CLIENTS = 600, 16
"""With 64 clients the Firestore emulator's heap of 2 GiB is full before ten minutes have passed."""
EMULATORS, EMBEDDED = "emulators", "embedded"
FULL, QUICK, LADDER = "full", "quick", "ladder"


def main() -> None:
    """Print, store and draw the results. Exit with the reason if there are no emulators."""
    options = parse(sys.argv[1:])
    missing = why_unavailable(FIRESTORE, PUBSUB) if options.backend == EMULATORS else None
    if missing is not None:
        sys.exit(f"no emulators to measure: {missing}" if os.environ.get("CI") == "true" else 0)
    kind = f"{LADDER}, {options.item}" if options.scenarios == LADDER else options.scenarios
    about = facts(options.backend, kind)
    print(describe(about), flush=True)
    run = asyncio.run(_measured(options.backend, options.scenarios, options.ladder))
    reached = targets(run.results)
    stored = as_run(about, run.results, reached)
    store(RESULTS, stored)
    draw(PLOT, describe(about), run.results)
    paths = [RESULTS, PLOT]
    if options.record:
        paths.append(Path(os.path.relpath(keep(stored))))
    if draw_releases(RELEASES):
        paths.append(RELEASES)
    print("", *summary(run.results), *reached, "", "Results: " + ", ".join(map(str, paths)), sep="\n")
    if was_busy(about):
        print("The machine was busy before the run: these figures are not comparable with others.")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--backend", choices=(EMULATORS, EMBEDDED), default=EMULATORS)
    parser.add_argument("--scenarios", choices=(FULL, QUICK, LADDER), default=FULL)
    parser.add_argument("--rates", type=rates, default=RATES, help="orders/s of the ladder's rungs")
    parser.add_argument("--rung-seconds", type=_positive, default=RUNG_SECONDS)
    parser.add_argument(
        "--seed", type=int, default=1, help="of the times at which the ladder's orders arrive"
    )
    parser.add_argument("--item", choices=tuple(HOPS), default=RED, help="the item that the ladder orders")
    parser.add_argument("--record", action="store_true", help="keep the results in bench/results/")
    options = parser.parse_args(arguments)
    if options.record and options.scenarios == QUICK:
        parser.error("the figures of a quick run are too coarse to be recorded")
    options.ladder = Ladder(options.rates, options.rung_seconds, options.seed, options.item)
    return options


def rates(text: str) -> tuple[float, ...]:
    found = tuple(sorted(map(_positive, text.split())))
    if not found:
        raise argparse.ArgumentTypeError("no rates")
    return found


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"not a positive number: {text}")
    return value


async def _measured(backend: str, selected: str, ladder: Ladder) -> BenchRun:
    async with _backend(backend) as environ:
        if selected == QUICK:
            return await _in_a_minute(BenchRun(environ, idle_orders=24, orders_per_client=8, rounds=1))
        run = BenchRun(environ, idle_orders=100, orders_per_client=25)
        if selected == LADDER:
            await _climbing(run, ladder)
            return run
        await _in_full(run)
    # Each on a new backend, because the emulators keep all data in memory.
    for scenario in (lambda each: _climbing(each, ladder), _followed, _growing, _soaking):
        async with _backend(backend) as environ:
            await scenario(replace(run, environ=environ))
    return run


async def _climbing(run: BenchRun, ladder: Ladder) -> None:
    await scenarios.warm(run)
    async with run.suite() as suite:
        await climb(run, suite, ladder)


async def _followed(run: BenchRun) -> None:
    await scenarios.warm(run)
    await _stage(run, followers(run))


async def _growing(run: BenchRun) -> None:
    if run.on_emulators:
        await scenarios.warm(run)
        await _stage(run, endurance.growth(run, Growth()))


async def _soaking(run: BenchRun) -> None:
    async with run.suite() as suite:
        await _stage(run, endurance.soak(run, suite, SOAK_CLIENTS, SOAK_SECONDS))


async def _in_a_minute(run: BenchRun) -> BenchRun:
    await scenarios.warm(run, orders=300)
    async with run.suite() as suite:
        await _stage(run, scenarios.idle(run, suite))
        for clients in (16, 64):
            await _stage(run, scenarios.throughput_and_raw_rate(run, suite, clients))
    if run.on_emulators:
        await _stage(run, scenarios.cost(run, orders=10))
        await _stage(run, scenarios.calls(run, 64))
    return run


async def _in_full(run: BenchRun) -> None:
    await scenarios.warm(run)
    async with run.suite() as suite:
        await _stage(run, scenarios.idle(run, suite))
        for clients in (1, 16, 64, 256):
            await _stage(run, scenarios.throughput_and_raw_rate(run, suite, clients))
        await _stage(run, scenarios.from_carts(run, suite, 64))
        await _stage(run, scenarios.hot_item(run, suite, 64))
        await _stage(run, scenarios.start(run, suite))
    if run.on_emulators:
        await _stage(run, scenarios.cost(run, orders=50))
        await _stage(run, scenarios.calls(run, 64))
        await _stage(run, scenarios.baseline(run, clients=16, orders=48))


async def _stage(run: BenchRun, scenario: object) -> None:
    """Run a scenario and print its results."""
    before = dict(run.results)
    await scenario  # type: ignore[misc]
    print(show({name: each for name, each in run.results.items() if before.get(name) != each}), flush=True)


@asynccontextmanager
async def _backend(backend: str) -> AsyncIterator[Mapping[str, str]]:
    """Start new emulators, if any; yield the variables that select the backend."""
    if backend == EMBEDDED:
        yield {"BACKEND": EMBEDDED}
        return
    with tempfile.TemporaryDirectory() as directory:
        logs = Path(directory)
        async with (
            running(FIRESTORE, logs / "firestore.log") as datastore,
            running(PUBSUB, logs / "pubsub.log") as pubsub,
        ):
            hosts = {"DATASTORE_EMULATOR_HOST": datastore, "PUBSUB_EMULATOR_HOST": pubsub}
            yield {"BACKEND": EMULATORS, **hosts}


if __name__ == "__main__":
    main()
