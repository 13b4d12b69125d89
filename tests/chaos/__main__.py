"""`python -m tests.chaos`: kill processes under load and check the results; --calm measures recovery."""

import argparse
import asyncio
import json
import logging
import os
import sys
from pathlib import Path
from random import SystemRandom

from sagakit.ctl.local.emulators import FIRESTORE, PUBSUB, why_unavailable
from tests.chaos.run import ChaosRun
from tests.support.intolerance import BUGS

RESULTS = Path("build/chaos.json")


def main() -> None:
    parser = argparse.ArgumentParser(prog="chaos")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument(
        "--calm", action="store_true", help="one kill at a time; measure how long recovery takes"
    )
    parser.add_argument(
        "--overload",
        type=float,
        metavar="SECONDS",
        help="no kills; ten times the customers that keep the suite busy",
    )
    parser.add_argument(
        "--upgrade", metavar="VERSION", help="no kills; replace this version by the current one, and back"
    )
    parser.add_argument("--plant", choices=BUGS, help="with --upgrade: a bug, which the run must find")
    parser.add_argument("--mixed", metavar="VERSION", help="half of the processes are of this version")
    parser.add_argument("--backend", choices=("emulators", "embedded"), default="emulators")
    options = parser.parse_args()
    if options.backend == "embedded" and not (options.overload or options.upgrade):
        parser.error("the embedded backend has no proxies to inject faults in: --overload and --upgrade only")
    missing = why_unavailable(FIRESTORE, PUBSUB) if options.backend == "emulators" else None
    if missing is not None:
        sys.exit(f"no emulators: {missing}" if os.environ.get("CI") == "true" else 0)
    seed = SystemRandom().randrange(10**9) if options.seed is None else options.seed
    logging.getLogger("google").setLevel(logging.CRITICAL)
    run = ChaosRun(seed, options.backend)
    asyncio.run(_run(run, options))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"seed": seed, "problems": run.problems, **run.figures}, indent=2))
    for name, figure in run.figures.items():
        print(f"{name:<28} {figure}")
    run.close()
    if run.problems:
        print(f"seed {seed}: {len(run.problems)} problems", *run.problems[:30], sep="\n  ")
        print(f"logs: {run.logs}; reproduce: make chaos KILLS={options.kills} SEED={seed}")
        sys.exit(1)
    print("no order lost, duplicated or unfinished: everything balances")


async def _run(run: ChaosRun, options: argparse.Namespace) -> None:
    if options.upgrade:
        await run.upgrade(options.upgrade, options.plant)
    elif options.overload:
        await run.overload(options.overload)
    elif options.calm:
        await run.recovery(options.kills)
    else:
        await run.kills(options.kills, options.mixed)


if __name__ == "__main__":
    main()
