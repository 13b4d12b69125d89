"""`python -m tests.simulation`: as many sagas as asked for, world after world, until one fails."""

import argparse
import sys
import time
from collections import Counter
from random import SystemRandom

from tests.simulation.weather import ROUGH, SKEWED, VERY_SKEWED
from tests.simulation.world import simulate

WEATHERS = (ROUGH, SKEWED, ROUGH, VERY_SKEWED)
WORLD = 250
"""Sagas of one world: what is remembered at a time."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="simulate")
    parser.add_argument("--sagas", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=None)
    asked = parser.parse_args()
    seed = SystemRandom().randrange(10**9) if asked.seed is None else asked.seed
    ends: Counter[str] = Counter()
    kills = deliveries = done = 0
    began = time.perf_counter()
    while done < asked.sagas:
        outcome = simulate(seed, min(WORLD, asked.sagas - done), WEATHERS[seed % len(WEATHERS)])
        if outcome.problems:
            print(
                f"seed {seed}, {outcome.sagas} sagas: {len(outcome.problems)} problems",
                *outcome.problems[:20],
                sep="\n  ",
            )
            print(f"again: make simulate SEED={seed} SAGAS={outcome.sagas}")
            sys.exit(1)
        ends.update(outcome.ends)
        kills, deliveries, done = kills + outcome.kills, deliveries + outcome.deliveries, done + outcome.sagas
        seed += 1
        if sys.stdout.isatty():
            print(f"\r{done} sagas", end="", flush=True)
    seconds = time.perf_counter() - began
    print(f"{done} sagas in {seconds:.0f} s, {deliveries} deliveries, {kills} kills: everything balances")
    print(", ".join(f"{status} {count}" for status, count in sorted(ends.items())))


if __name__ == "__main__":
    main()
