"""Sagas by the thousand, with everything going wrong that can; and bugs, each of which has to be caught."""

import pytest

from tests.simulation.planted import BUGS, Bug
from tests.simulation.weather import RELIABLE, ROUGH, SKEWED, VERY_SKEWED
from tests.simulation.world import simulate

WORLD = 250
BUG_SAGAS = 1_000
"""Within so many sagas every planted bug shows."""


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("weather", [ROUGH, SKEWED, VERY_SKEWED], ids=["rough", "skewed", "very-skewed"])
def test_every_saga_ends_and_everything_balances(weather, seed: int):
    outcome = simulate(seed, WORLD, weather)

    assert outcome.problems == []
    assert outcome.kills > 20
    assert {"approved", "canceled", "payment-failed", "reserve-failed"} <= set(outcome.ends)


@pytest.mark.parametrize("seed", range(2))
def test_nobody_needs_to_repeat_anything_where_the_broker_keeps_what_it_took(seed: int):
    assert simulate(seed, WORLD, RELIABLE, watch=False).problems == []


def test_a_seed_replays_a_run_exactly():
    digests = {simulate(7, 100, ROUGH).digest for _ in range(3)}
    other = simulate(8, 100, ROUGH).digest

    assert len(digests) == 1
    assert other not in digests


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_caught(bug: Bug):
    with bug.plant():
        for seed in range(BUG_SAGAS // WORLD):
            if simulate(seed, WORLD, bug.weather, watch=bug.watch).problems:
                return

    pytest.fail(f"not within {BUG_SAGAS} sagas")
