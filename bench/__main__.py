"""`make bench`: measure the suite from outside and, in the same run, the raw rate of its backend."""

import argparse
import asyncio
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from bench import endurance, scenarios
from bench.figures import draw, show, store
from bench.growth import Growth
from bench.run import BenchRun
from bench.targets import targets
from sagakit.ctl.local.emulators import FIRESTORE, PUBSUB, running, why_unavailable

RESULTS, PLOT = Path("build/bench.json"), Path("build/bench.svg")
SOAK_SECONDS, SOAK_CLIENTS = 600, 16
"""With 64 clients the Firestore emulator's heap of 2 GiB is full before ten minutes have passed."""
EMULATORS, EMBEDDED = "emulators", "embedded"


def main() -> None:
    """Print, store and draw the results. Exit with the reason if there are no emulators."""
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--backend", choices=(EMULATORS, EMBEDDED), default=EMULATORS)
    parser.add_argument("--quick", action="store_true", help="a short run of less than a minute")
    options = parser.parse_args()
    missing = why_unavailable(FIRESTORE, PUBSUB) if options.backend == EMULATORS else None
    if missing is not None:
        sys.exit(f"no emulators to measure: {missing}" if os.environ.get("CI") == "true" else 0)
    run = asyncio.run(_measured(options.backend, quick=options.quick))
    reached = targets(run.results)
    facts = {**_facts(), "backend": options.backend, "quick": options.quick}
    store(RESULTS, facts, run.results, reached)
    draw(PLOT, ", ".join(map(str, facts.values())), run.results)
    print("", *reached, "", f"Results: {RESULTS}, {PLOT}", sep="\n")


async def _measured(backend: str, *, quick: bool) -> BenchRun:
    async with _backend(backend) as environ:
        if quick:
            return await _in_a_minute(BenchRun(environ, idle_orders=24, orders_per_client=8, rounds=1))
        run = await _in_full(BenchRun(environ, idle_orders=100, orders_per_client=25))
    # Each on a new backend, because the emulators keep all data in memory.
    for scenario in (_growing, _soaking):
        async with _backend(backend) as environ:
            await scenario(replace(run, environ=environ))
    return run


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
    return run


async def _in_full(run: BenchRun) -> BenchRun:
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
        await _stage(run, scenarios.baseline(run, clients=16, orders=48))
    return run


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


def _facts() -> dict[str, str]:
    commit = subprocess.run(
        ("git", "describe", "--always", "--dirty"), capture_output=True, text=True, check=False
    ).stdout.strip()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return {"commit": commit, "machine": machine}


if __name__ == "__main__":
    main()
