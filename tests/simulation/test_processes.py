"""Runs of a campaign in several processes: the figures of a single one, and nothing is left behind."""

import signal
import subprocess
import sys
from functools import partial

import pytest

from sagakit.testing.campaign import Campaign, planned
from sagakit.testing.scenario import Outcome
from tests.simulation.processes import processes, run
from tests.simulation.worlds import CAMPAIGN
from tests.support.eventually import wait_until
from tests.support.local_suite import alive, environment

WAITING = """
import os, time
from tests.simulation.processes import processes

if __name__ == "__main__":
    with processes(1) as executor:
        print(executor.submit(os.getpid).result(), flush=True)
        executor.submit(time.sleep, 60).result()
"""


def campaign(jobs: int) -> Campaign:
    """Run a small campaign in `jobs` processes."""
    done = Campaign(CAMPAIGN)
    with processes(jobs) as executor:
        assert done.collect(executor.map(partial(run, None), [(1, 12), (2, 6), (3, 9)])) is None
    return done


def test_figures_are_those_of_a_single_process(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    several = campaign(2)
    monkeypatch.setenv("PYTHONHASHSEED", "2")
    single = campaign(1)

    assert (several.runs, several.sagas) == (3, 27)
    assert several.deliveries > 100
    assert vars(several) == vars(single), "nothing depends on the order of a set"


def test_runs_have_consecutive_seeds_and_a_bounded_size():
    assert list(planned(600, 3)) == [(3, 250), (4, 250), (5, 100)]


def test_first_broken_promise_by_seed_is_reported():
    broken = [Outcome(2, 10, ["late"]), Outcome(3, 10, ["later"])]
    found = Campaign(CAMPAIGN)

    assert found.collect(iter([Outcome(1, 10), *broken])) is broken[0]

    assert found.sagas == 10


def test_processes_end_with_a_parent_that_is_killed():
    command = (sys.executable, "-c", WAITING)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment({})) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert alive(worker)

        parent.send_signal(signal.SIGKILL)

        wait_until(lambda: not alive(worker))
