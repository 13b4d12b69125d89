"""`python -m tests.simulation`: run simulations until `--sagas` sagas have ended, or one run fails.

Runs take place side by side in `--jobs` processes; the figures and the failure are those of a single process.
From REACHING_SAGAS on it fails, too, if the runs together never reached what `reached.MUST_REACH` names.
"""

import argparse
import os
import sys
import time
from functools import partial
from random import SystemRandom

from sagakit.testing.campaign import Campaign, planned
from tests.simulation.processes import processes, run
from tests.simulation.worlds import CAMPAIGN, REACHING_SAGAS


def main() -> None:
    parser = argparse.ArgumentParser(prog="simulate")
    parser.add_argument("--sagas", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--world", type=int, default=None, help="repeat one run in the world of this seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    seed = SystemRandom().randrange(10**9) if options.seed is None else options.seed
    simulation = CAMPAIGN if options.world is None else CAMPAIGN.in_world(options.world)
    campaign = Campaign(simulation)
    started_at = time.perf_counter()
    with processes(options.jobs) as executor:
        outcomes = executor.map(partial(run, options.world), planned(options.sagas, seed))
        failed = campaign.collect(outcomes, _show_progress)
    if failed is not None:
        print(f"seed {failed.seed}, {failed.sagas} sagas: {len(failed.problems)} problems")
        print(simulation.explain(failed))
        sys.exit(1)
    seconds = time.perf_counter() - started_at
    done = f"{campaign.sagas} sagas in {campaign.runs} worlds in {seconds:.0f} s"
    print(f"{done}, {campaign.deliveries} deliveries, {campaign.kills} kills: everything balances")
    print(", ".join(f"{status} {count}" for status, count in sorted(campaign.counts.items())))
    if campaign.sagas >= REACHING_SAGAS and campaign.unreached:
        print(campaign.unreached_report())
        sys.exit(1)


def _show_progress(campaign: Campaign) -> None:
    if sys.stdout.isatty():
        print(f"\r{campaign.sagas} sagas", end="", flush=True)


if __name__ == "__main__":
    main()
