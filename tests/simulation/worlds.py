"""The worlds of the shop's campaign: each run draws its own from its seed."""

from dataclasses import replace
from functools import partial
from random import Random

from contract.topology import TOPOLOGY
from sagakit.testing import draw_world
from sagakit.testing.simulation import Simulation
from services.payment.simulated import LEDGER
from tests.simulation.faults import ShopFaults
from tests.simulation.habits import drawn_habits
from tests.simulation.reached import MUST_REACH
from tests.simulation.shop import Shop
from tests.support.suite import BUILDERS


def drawn(simulation: Simulation, random: Random) -> Simulation:
    """Return the shop in a world of its own."""
    world = draw_world(simulation, random)
    deadline = random.choice(["45", "300", "1800", "1800"])
    return replace(
        world,
        faults=_drawn_faults(world.faults, random),
        environ={**world.environ, "ORDER_DEADLINE": deadline},
        scenario=partial(Shop, habits=drawn_habits(random)),
    )


def _drawn_faults(faults: ShopFaults, random: Random) -> ShopFaults:
    if random.random() < 0.15:
        # Payment dies and loses its messages after a commit of its provider, before it records it.
        faults = replace(faults, emptied=0.3, emptied_kind=LEDGER)
    return replace(
        faults,
        missing_seconds=random.choice([1, 5, 20]),
        mixed_versions=random.random() < 0.5,
        forged=random.choice([0, 0, 0.2]),
        contradicted=random.choice([0, 0, 0.3, 0.9]),
    )


REACHING_SAGAS = 10_000
"""Sagas within which a campaign must reach everything; fewer reach it by chance."""
CAMPAIGN = Simulation(TOPOLOGY, BUILDERS, Shop, ShopFaults(), must_reach=MUST_REACH, draw=drawn)
"""The simulation that `make simulate` runs."""
