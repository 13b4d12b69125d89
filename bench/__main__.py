"""`make bench`: the suite measured from outside, beside what its backend itself allows, in one run."""

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
from bench.rounds import Bench
from bench.targets import targets
from sagactl.local.emulators import FIRESTORE, PUBSUB, running, why_unavailable

RESULTS, PLOT = Path("build/bench.json"), Path("build/bench.svg")
SOAK_SECONDS, SOAK_CLIENTS = 600, 16
"""With 64 the Firestore emulator's heap of 2 GiB is full before the ten minutes are over."""
EMULATORS, EMBEDDED = "emulators", "embedded"


def main() -> None:
    """Print, store and draw the figures. Skipped, with the reason, where there are no emulators."""
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--backend", choices=(EMULATORS, EMBEDDED), default=EMULATORS)
    parser.add_argument("--quick", action="store_true", help="less than a minute")
    asked = parser.parse_args()
    missing = why_unavailable(FIRESTORE, PUBSUB) if asked.backend == EMULATORS else None
    if missing is not None:
        sys.exit(f"no emulators to measure: {missing}" if os.environ.get("CI") == "true" else 0)
    bench = asyncio.run(_measured(asked.backend, quick=asked.quick))
    reached = targets(bench.results)
    facts = {**_facts(), "backend": asked.backend, "quick": asked.quick}
    store(RESULTS, facts, bench.results, reached)
    draw(PLOT, ", ".join(map(str, facts.values())), bench.results)
    print("", *reached, "", f"{RESULTS} and {PLOT} have it all.", sep="\n")


async def _measured(backend: str, *, quick: bool) -> Bench:
    async with _backend(backend) as environ:
        if quick:
            return await _in_a_minute(Bench(environ, idle_orders=24, orders_per_client=8, rounds=1))
        bench = await _in_full(Bench(environ, idle_orders=100, orders_per_client=25))
    # Over backends of their own: what the emulators are given they keep in memory.
    for scenario in (_growing, _soaking):
        async with _backend(backend) as environ:
            await scenario(replace(bench, environ=environ))
    return bench


async def _growing(bench: Bench) -> None:
    if bench.on_emulators:
        await scenarios.warm(bench)
        await _stage(bench, endurance.growth(bench, Growth()))


async def _soaking(bench: Bench) -> None:
    async with bench.suite() as suite:
        await _stage(bench, endurance.soak(bench, suite, SOAK_CLIENTS, SOAK_SECONDS))


async def _in_a_minute(bench: Bench) -> Bench:
    await scenarios.warm(bench, orders=300)
    async with bench.suite() as suite:
        await _stage(bench, scenarios.idle(bench, suite))
        for clients in (16, 64):
            await _stage(bench, scenarios.beside_raw(bench, suite, clients))
    if bench.on_emulators:
        await _stage(bench, scenarios.cost(bench, orders=10))
    return bench


async def _in_full(bench: Bench) -> Bench:
    await scenarios.warm(bench)
    async with bench.suite() as suite:
        await _stage(bench, scenarios.idle(bench, suite))
        for clients in (1, 16, 64, 256):
            await _stage(bench, scenarios.beside_raw(bench, suite, clients))
        await _stage(bench, scenarios.from_carts(bench, suite, 64))
        await _stage(bench, scenarios.hot_item(bench, suite, 64))
        await _stage(bench, scenarios.start(bench, suite))
    if bench.on_emulators:
        await _stage(bench, scenarios.cost(bench, orders=50))
        await _stage(bench, scenarios.baseline(bench, clients=16, orders=48))
    return bench


async def _stage(bench: Bench, scenario: object) -> None:
    """Run a scenario, and show what is new."""
    before = dict(bench.results)
    await scenario  # type: ignore[misc]
    print(show({name: each for name, each in bench.results.items() if before.get(name) != each}), flush=True)


@asynccontextmanager
async def _backend(backend: str) -> AsyncIterator[Mapping[str, str]]:
    """What names it; emulators of its own."""
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
