"""Records restored to an earlier moment in the middle of a run: every order ends, or is listed."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from sagactl.inspect.reconciliation import Decisions
from sagakit.testing.scenario import Outcome
from sagakit.testing.simulation import play
from sagakit.testing.world import World
from services.stock.inventory import REFUSED
from services.stock.storage import RESERVATION, SHARD
from tests.simulation.faults import UNRELIABLE
from tests.simulation.restore import OWNED, RestoredShop, own_kinds
from tests.simulation.shop import shop

SAGAS = 120
INTERVAL_SECONDS = 2.5
LOST_FOR_GOOD = {
    "its ticket is lost, and it was approved",
    "its ticket is lost; nothing is reserved or charged for it",
    f"it was approved, but its reservation is {REFUSED}",
}


def played(kinds: Sequence[str], seed: int = 1, **options: Any) -> tuple[RestoredShop, Outcome]:
    """Run the shop with a restore of these kinds; return what it saw, and the outcome."""
    simulation = shop(UNRELIABLE, scenario=lambda world: RestoredShop(world, kinds, **options))
    world = World(replace(simulation, interval_seconds=INTERVAL_SECONDS), seed, SAGAS)
    return world.scenario, play(world)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("services", [*((each,) for each in OWNED), tuple(OWNED)], ids="+".join)
def test_every_order_ends_or_is_listed(services: Sequence[str], seed: int):
    simulation, outcome = played(own_kinds(services), seed)

    assert outcome.problems == []
    assert simulation.promised, "no order had ended before the restore"
    assert simulation.republished or simulation.undecided


@pytest.mark.parametrize("services", [("stock",), tuple(OWNED)], ids="+".join)
def test_decisions_end_what_is_still_open(services: Sequence[str]):
    decided = Decisions(reserve_again=True, cancel_lost=True)

    simulation, outcome = played(own_kinds(services), decided=decided)

    assert outcome.problems == []
    assert {"purchase pre-approved", "purchase canceled"} & set(simulation.republished)
    assert set(simulation.undecided.values()) <= LOST_FOR_GOOD


@pytest.mark.parametrize("kind", [RESERVATION, SHARD])
def test_units_that_disagree_are_found_by_the_audit(kind: str):
    """Reservations and shards are changed together, and can only be restored together."""
    _, outcome = played([kind])

    assert outcome.problems
    assert all(each.startswith("item ") for each in outcome.problems)


@pytest.mark.parametrize("service", ["purchase", "payment", "delivery"])
def test_without_reconciliation_orders_remain(service: str):
    """Known mistake: reminders are relied on for what no entity waits for any more."""
    _, outcome = played(own_kinds([service]), reconciles=False)

    assert outcome.problems
