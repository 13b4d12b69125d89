"""Runs that have failed once, which `make soak` has kept."""

import json
from pathlib import Path

import pytest

from tests.simulation.tally import FILE, PAGE, SEEDS, load, regenerated
from tests.simulation.worlds import CAMPAIGN

KEPT = sorted(each for each in SEEDS.glob("*.json") if each != FILE)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_run_that_has_failed_once_keeps_every_promise(path: Path):
    kept = json.loads(path.read_text())

    outcome = CAMPAIGN.run(kept["seed"], kept["sagas"], world=kept["world"])

    assert outcome.problems == []


def test_page_has_the_figures_of_the_tally():
    text = PAGE.read_text()

    assert regenerated(text, load()) == text
    assert load().table() in text
