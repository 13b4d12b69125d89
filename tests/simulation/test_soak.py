"""The soak keeps what fails, counts what it has done, and ends when it is asked to."""

import json
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from tests.simulation.soak import Ended, Soak, verdict
from tests.simulation.tally import Tally, regenerated
from tests.simulation.worlds import CAMPAIGN, REACHING_SAGAS

HEAD = "| simulated to date by `make soak` | |\n|---|---|\n"


def test_runs_are_counted_in_several_processes_until_enough_sagas_have_ended():
    soak = Soak(CAMPAIGN, run_sagas=10)

    ended = list(soak.run(count(1), jobs=2, hours=1, sagas=23))

    assert (len(ended), soak.done.seeds, soak.done.sagas) == (3, 3, 23)
    assert soak.failures == []
    assert soak.campaign.sagas == 23
    assert soak.campaign.reached["fault conflict"]
    assert 20 < soak.done.memory_megabytes < 400


def test_interrupted_soak_ends_after_the_runs_in_progress():
    soak = Soak(CAMPAIGN, run_sagas=5)
    runs = soak.run(count(1), jobs=1, hours=1, sagas=10**9)

    next(runs)
    soak.stop()
    rest = list(runs)

    assert len(rest) <= 1
    assert soak.done.seeds == 1 + len(rest)


def test_failing_run_is_kept_with_its_report(tmp_path: Path):
    """The report is that of a run in which nothing is reached."""
    failed = replace(CAMPAIGN.run(3, 2), problems=["order 1 is late"])
    failure = replace(CAMPAIGN.in_world(3)._report(failed), world=3)
    soak = Soak(CAMPAIGN, tmp_path)

    soak.add(Ended(failed, failure, 36.0, 100.0))

    (path,) = soak.failures
    kept = json.loads(path.read_text())
    assert path.name == "3-3-2.json"
    assert (kept["world"], kept["seed"], kept["sagas"]) == (3, 3, 2)
    assert "broken: order 1 is late" in kept["report"]
    assert soak.done == Tally(2, 1, failed.deliveries, failed.kills, 0.01, 1, 100.0)
    assert verdict(soak) == 1


def test_soak_that_never_reaches_something_fails(capsys: pytest.CaptureFixture[str]):
    soak = Soak(replace(CAMPAIGN, must_reach=["a place that is not there"]))
    soak.done = Tally(sagas=REACHING_SAGAS - 1)
    short = verdict(soak)
    soak.done = Tally(sagas=REACHING_SAGAS)

    assert (short, verdict(soak)) == (0, 1)
    assert "- a place that is not there\n" in capsys.readouterr().out


def test_most_memory_counts():
    assert (Tally(memory_megabytes=3) + Tally(memory_megabytes=2)).memory_megabytes == 3


def test_rows_of_the_page_are_replaced():
    page = f"Before.\n\n{HEAD}| old | 1 |\n\nAfter.\n"
    tally = Tally(1_000_000, 4_000, 12_000_000, 160_000, 5.25, 2) + Tally(sagas=250, seeds=1)

    assert regenerated(page, tally) == f"Before.\n\n{HEAD}{tally.table()}\nAfter.\n"
    assert "| orders | 1,000,250 |" in tally.table()
