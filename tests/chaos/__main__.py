"""`python -m tests.chaos`: kills under load, and the verdict; or, with --calm, how long recovery takes."""

import argparse
import asyncio
import json
import logging
import os
import sys
from pathlib import Path
from random import SystemRandom

from sagactl.local.emulators import FIRESTORE, PUBSUB, why_unavailable
from tests.chaos.run import ChaosRun

RESULTS = Path("build/chaos.json")


def main() -> None:
    parser = argparse.ArgumentParser(prog="chaos")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--calm", action="store_true", help="one kill at a time: how long recovery takes")
    parser.add_argument("--overload", type=float, metavar="SECONDS", help="no kills: far too many customers")
    parser.add_argument("--backend", choices=("emulators", "embedded"), default="emulators")
    asked = parser.parse_args()
    if asked.backend == "embedded" and not asked.overload:
        parser.error(
            "the embedded backend is for --overload: there is no broker to empty, nothing on the way to it"
        )
    missing = why_unavailable(FIRESTORE, PUBSUB) if asked.backend == "emulators" else None
    if missing is not None:
        sys.exit(f"no emulators to fail: {missing}" if os.environ.get("CI") == "true" else 0)
    seed = SystemRandom().randrange(10**9) if asked.seed is None else asked.seed
    logging.getLogger("google").setLevel(logging.CRITICAL)
    campaign = ChaosRun(seed, asked.backend)
    asyncio.run(_campaign(campaign, asked))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps({"seed": seed, "problems": campaign.problems, **campaign.figures}, indent=2)
    )
    for name, figure in campaign.figures.items():
        print(f"{name:<28} {figure}")
    if campaign.problems:
        print(f"seed {seed}: {len(campaign.problems)} problems", *campaign.problems[:30], sep="\n  ")
        print(f"logs: {campaign.logs}; again: make chaos KILLS={asked.kills} SEED={seed}")
        sys.exit(1)
    print("nothing lost, nothing twice, nothing hangs: everything balances")


async def _campaign(campaign: ChaosRun, asked: argparse.Namespace) -> None:
    if asked.overload:
        await campaign.overload(asked.overload)
    elif asked.calm:
        await campaign.calm(asked.kills)
    else:
        await campaign.storm(asked.kills)


if __name__ == "__main__":
    main()
