"""`python -m tests.simulation`: run simulations until `--sagas` sagas have ended, or one run fails."""

import argparse
import sys
import time
from collections import Counter
from random import SystemRandom

from sagakit.testing.simulation import RUN_SAGAS
from tests.simulation.faults import PAYMENT_DIES, SKEWED, UNRELIABLE, VERY_SKEWED
from tests.simulation.shop import shop

FAULT_RATES = (UNRELIABLE, SKEWED, PAYMENT_DIES, VERY_SKEWED)


def main() -> None:
    parser = argparse.ArgumentParser(prog="simulate")
    parser.add_argument("--sagas", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = SystemRandom().randrange(10**9) if options.seed is None else options.seed
    statuses: Counter[str] = Counter()
    kills = deliveries = done = 0
    started_at = time.perf_counter()
    while done < options.sagas:
        simulation = shop(FAULT_RATES[seed % len(FAULT_RATES)])
        outcome = simulation.run(seed, min(RUN_SAGAS, options.sagas - done))
        if outcome.problems:
            print(f"seed {seed}, {outcome.sagas} sagas: {len(outcome.problems)} problems")
            print(simulation.explain(outcome))
            sys.exit(1)
        statuses.update(outcome.counts)
        kills, deliveries, done = kills + outcome.kills, deliveries + outcome.deliveries, done + outcome.sagas
        seed += 1
        if sys.stdout.isatty():
            print(f"\r{done} sagas", end="", flush=True)
    seconds = time.perf_counter() - started_at
    print(f"{done} sagas in {seconds:.0f} s, {deliveries} deliveries, {kills} kills: everything balances")
    print(", ".join(f"{status} {count}" for status, count in sorted(statuses.items())))


if __name__ == "__main__":
    main()
