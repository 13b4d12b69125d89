"""`make bench`: the suite on Google's emulators, measured from outside, and the raw chain in the same run."""

import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx

from bench.orders import Endings, idle_sagas, throughput
from bench.rawchain import raw_chain
from bench.suite import running_suite
from sagactl.emulators import FIRESTORE, PUBSUB, running, why_unavailable

IDLE_ORDERS = 60
RESULTS = Path("build/bench.json")


def quantiles(milliseconds: list[float]) -> dict[str, float]:
    ordered = sorted(milliseconds)
    return {
        "p50_ms": round(statistics.median(ordered), 1),
        "p99_ms": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 1),
    }


async def measure() -> dict[str, object]:
    with tempfile.TemporaryDirectory() as directory:
        logs = Path(directory)
        async with (
            running(FIRESTORE, logs / "firestore.log") as datastore,
            running(PUBSUB, logs / "pubsub.log") as pubsub,
        ):
            environ = {
                "BACKEND": "emulators",
                "GOOGLE_CLOUD_PROJECT": "bench",
                "DATASTORE_EMULATOR_HOST": datastore,
                "PUBSUB_EMULATOR_HOST": pubsub,
            }
            os.environ.update(environ)  # Google's subscriber client finds the emulator there.
            async with running_suite(logs / "run", environ) as gateway:
                return await _scenarios(gateway)


async def _scenarios(gateway: str) -> dict[str, object]:
    limits = httpx.Limits(max_connections=128, max_keepalive_connections=128)
    results: dict[str, object] = {}
    async with httpx.AsyncClient(base_url=gateway, limits=limits, timeout=60) as client:
        await idle_sagas(client, 10)  # Both emulators' Java is slow until it is warm.
        raw = await raw_chain(IDLE_ORDERS, hops=2)
        checkouts, sagas = await idle_sagas(client, IDLE_ORDERS)
        results["raw chain, two hops"] = quantiles(raw)
        results["checkout, idle"] = quantiles(checkouts)
        results["saga, red, idle"] = quantiles(sagas)
        over = statistics.median(sagas) - statistics.median(raw)
        results["saga over raw chain"] = {"p50_ms": round(over, 1), "target_ms": 50}
        endings = Endings()
        async with endings.watching():
            for clients in (16, 64):
                rate, latencies = await throughput(client, endings, clients, orders=clients * 20)
                results[f"{clients} clients"] = {"orders_per_s": round(rate, 1), **quantiles(latencies)}
    return results


def main() -> None:
    """Print and store the figures. Skipped, with the reason, where there are no emulators."""
    missing = why_unavailable(FIRESTORE, PUBSUB)
    if missing is not None:
        sys.exit(f"no emulators to measure: {missing}" if os.environ.get("CI") == "true" else 0)
    results = asyncio.run(measure())
    commit = subprocess.run(
        ("git", "rev-parse", "--short", "HEAD"), capture_output=True, text=True, check=False
    ).stdout.strip()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"commit": commit, "machine": machine, **results}, indent=2))
    for name, figures in results.items():
        print(f"{name:<22}", "  ".join(f"{key} {value:>7}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
