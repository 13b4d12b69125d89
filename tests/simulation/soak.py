"""`python -m tests.simulation.soak`: simulate new seeds for hours, in several processes.

A run that breaks a promise is kept, as the smallest one that does, in `seeds/`, and the soak continues. It
may be interrupted (Ctrl-C, SIGTERM): it ends after the runs in progress, and what was done is counted.
"""

import argparse
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import SystemRandom

from sagakit.testing.campaign import RUN_SAGAS, Campaign
from sagakit.testing.scenario import Outcome
from sagakit.testing.simulation import Failure, Simulation
from tests.simulation import tally
from tests.simulation.processes import processes
from tests.simulation.tally import SEEDS, Tally
from tests.simulation.worlds import CAMPAIGN, REACHING_SAGAS

SAVE_SECONDS = 60.0
"""How often what was done is written."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended, in a process of its own."""

    outcome: Outcome
    failure: Failure | None
    cpu_seconds: float
    memory_megabytes: float
    """Most memory that its process has had so far."""


def run(seed: int, sagas: int) -> Ended:
    """Run one seed; if it breaks a promise, look for the smallest run that does."""
    started = time.process_time()
    outcome = CAMPAIGN.run(seed, sagas)
    failure = CAMPAIGN.explain(outcome) if outcome.problems else None
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Ended(outcome, failure, time.process_time() - started, memory)


@dataclass
class Soak:
    """A campaign over several processes."""

    simulation: Simulation
    directory: Path = SEEDS
    run_sagas: int = RUN_SAGAS
    """Sagas per run."""
    done: Tally = Tally()
    """The sums over the runs of this soak."""
    failures: list[Path] = field(default_factory=list)
    stopping: bool = False
    """Whether it was asked to end."""

    def __post_init__(self) -> None:
        self.campaign = Campaign(self.simulation)

    def stop(self, *_: object) -> None:
        """End after the runs in progress."""
        self.stopping = True

    def add(self, ended: Ended) -> None:
        """Count a run, and keep it if it has failed."""
        outcome = ended.outcome
        self.done += Tally(
            sagas=outcome.sagas,
            seeds=1,
            deliveries=outcome.deliveries,
            kills=outcome.kills,
            cpu_hours=ended.cpu_seconds / 3600,
            broken=int(ended.failure is not None),
            memory_megabytes=ended.memory_megabytes,
        )
        if ended.failure is None:
            self.campaign.add(outcome)
        else:
            self.failures.append(keep(ended.failure, self.directory))
            print(f"\n{ended.failure}", flush=True)

    def run(self, seeds: Iterator[int], jobs: int, hours: float, sagas: int) -> Iterator[None]:
        """Run seeds until time is up or `sagas` sagas have ended; yield after each run."""
        until = time.monotonic() + hours * 3600
        started = 0
        running: set[Future[Ended]] = set()
        with processes(jobs) as executor:
            while True:
                may_start = not self.stopping and time.monotonic() < until
                while may_start and len(running) < jobs and started < sagas:
                    size = min(self.run_sagas, sagas - started)
                    running.add(executor.submit(run, next(seeds), size))
                    started += size
                if not running:
                    return
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                for each in ended:
                    self.add(each.result())
                    yield


def keep(failure: Failure, directory: Path) -> Path:
    """Write the smallest failing run to a file, for `test_seeds.py` to repeat it."""
    outcome = failure.outcome
    path = directory / f"{failure.world}-{outcome.seed}-{outcome.sagas}.json"
    kept = {
        "world": failure.world,
        "seed": outcome.seed,
        "sagas": outcome.sagas,
        "report": failure.report.splitlines(),
    }
    path.write_text(json.dumps(kept, indent=2) + "\n")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--sagas", type=int, default=10**12, help="sagas after which it ends")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=None, help="first seed; a new one by default")
    options = parser.parse_args()
    first = SystemRandom().randrange(10**9) if options.seed is None else options.seed
    soak, before = Soak(CAMPAIGN), tally.load()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, soak.stop)
    print(f"seeds from {first}, {options.jobs} processes", flush=True)
    saved_at = time.monotonic()
    try:
        for _ in soak.run(count(first), options.jobs, options.hours, options.sagas):
            if time.monotonic() - saved_at > SAVE_SECONDS:
                saved_at = time.monotonic()
                tally.save(before + soak.done)
                print(_summary(soak), flush=True)
    finally:
        tally.save(before + soak.done)
    print(_summary(soak))
    sys.exit(verdict(soak))


def _summary(soak: Soak) -> str:
    done = soak.done
    return (
        f"{done.sagas:,} sagas, {done.seeds:,} worlds, {done.deliveries:,} deliveries, {done.kills:,} kills, "
        f"{done.cpu_hours:.2f} h of CPU, at most {done.memory_megabytes:.0f} MB a process; "
        f"broken {done.broken}"
    )


def verdict(soak: Soak) -> int:
    """Print what is wrong; return the exit status."""
    for path in soak.failures:
        print(f"kept: {path}")
    unreached = soak.campaign.unreached_report() if soak.done.sagas >= REACHING_SAGAS else ""
    if unreached:
        print(unreached)
    return int(bool(soak.failures or unreached))


if __name__ == "__main__":
    main()
