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
from pathlib import Path

from bench.figures import draw, show, store
from bench.growth import Growth
from bench.scenarios import Bench
from bench.targets import targets
from sagactl.emulators import FIRESTORE, PUBSUB, running, why_unavailable

RESULTS, PLOT = Path("build/bench.json"), Path("build/bench.svg")
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
        bench = Bench(environ, idle_orders=24 if quick else 100, orders_per_client=8 if quick else 25)
        async with bench.suite() as suite:
            await _stage(bench, bench.idle(suite))
            for clients in (16, 64) if quick else (1, 16, 64, 256):
                await _stage(bench, bench.throughput(suite, f"red, {clients} clients", clients))
                if bench.on_emulators and clients in {16, 64}:
                    await _stage(bench, bench.raw_rate(clients))
            if not quick:
                await _stage(bench, bench.from_carts(suite, 64))
                await _stage(bench, bench.hot_item(suite, 64))
                await _stage(bench, bench.start(suite))
        if bench.on_emulators:
            await _stage(bench, bench.cost(orders=10 if quick else 50))
        if bench.on_emulators and not quick:
            await _stage(bench, bench.baseline(clients=16, orders=48))
            await _stage(bench, bench.growth(Growth()))
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
