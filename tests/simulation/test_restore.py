"""Records restored to an earlier moment in the middle of a run: every order ends, or is listed."""

from collections.abc import Sequence

import pytest

from contract.topology import TOPOLOGY
from sagactl.inspect.reconciliation import Decisions
from services.stock.inventory import REFUSED
from services.stock.storage import RESERVATION, SHARD
from tests.simulation.restore import RestoredSimulation, own_kinds
from tests.simulation.run import play

SAGAS = 120
LOST_FOR_GOOD = {
    "its ticket is lost, and it was approved",
    "its ticket is lost; nothing is reserved or charged for it",
    f"it was approved, but its reservation is {REFUSED}",
}


@pytest.mark.parametrize(
    "services", [*((each,) for each in TOPOLOGY.topics), tuple(TOPOLOGY.topics)], ids="+".join
)
def test_every_order_ends_or_is_listed(services: Sequence[str]):
    simulation = RestoredSimulation(1, SAGAS, own_kinds(services))

    outcome = play(simulation)

    assert outcome.problems == []
    assert simulation.promised, "no order had ended before the restore"
    assert simulation.republished or simulation.undecided


@pytest.mark.parametrize("services", [("stock",), tuple(TOPOLOGY.topics)], ids="+".join)
def test_decisions_end_what_is_still_open(services: Sequence[str]):
    decided = Decisions(reserve_again=True, cancel_lost=True)
    simulation = RestoredSimulation(1, SAGAS, own_kinds(services), decided=decided)

    outcome = play(simulation)

    assert outcome.problems == []
    assert {"purchase pre-approved", "purchase canceled"} & set(simulation.republished)
    assert set(simulation.undecided.values()) <= LOST_FOR_GOOD


@pytest.mark.parametrize("kind", [RESERVATION, SHARD])
def test_units_that_disagree_are_found_by_the_audit(kind: str):
    """Reservations and shards are changed together, and can only be restored together."""
    outcome = play(RestoredSimulation(1, SAGAS, [kind]))

    assert outcome.problems
    assert all(each.startswith("item ") for each in outcome.problems)


@pytest.mark.parametrize("service", ["purchase", "payment", "delivery"])
def test_without_reconciliation_orders_remain(service: str):
    """Known mistake: reminders are relied on for what no entity waits for any more."""
    assert play(RestoredSimulation(1, SAGAS, own_kinds([service]), reconciles=False)).problems
