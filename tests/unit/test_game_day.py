"""docs/game-day.md has every experiment, and names only alarms that exist."""

import re
from pathlib import Path

import pytest

from tests.chaos.game_day import EXPERIMENTS
from tests.monitoring import rules

PAGE = (Path(__file__).parents[2] / "docs/game-day.md").read_text()
ROWS = dict(re.findall(r"^\| `([a-z-]+)` \|(.*)\|$", PAGE, re.MULTILINE))


def test_page_has_every_experiment():
    assert [*ROWS] == [*EXPERIMENTS]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_page_names_the_alarms_of_an_experiment(name: str):
    *_, alarms = ROWS[name].split("|")

    assert re.findall(r"`(\w+)`", alarms) == [*EXPERIMENTS[name].alarms]
    assert {*EXPERIMENTS[name].alarms} <= {*rules.alerts()}
