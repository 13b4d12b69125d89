"""The worlds of the shop's campaign: each run draws its own from its seed."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

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


OPERATORS: Mapping[str, Any] = {
    "drains_per_minute": 12.0,
    "poisoned": 0.02,
    "delivery_attempts": 25,
    "redrives_per_minute": 3.0,
    "provisions_per_minute": 3.0,
    "expiry_speedup": 14_400.0,
    "late_repeats": 0.1,
}
MISFORTUNES: Mapping[str, Any] = {
    "loses_replicas": True,
    "clogs_per_minute": 10.0,
    "clock_drift": 0.01,
    "clock_jumps_per_minute": 6.0,
}


THROUGH_GATEWAY = 0.1
"""Share of clients that use the gateway, in worlds that have one: a party costs ten times another client."""


def _drawn_faults(faults: ShopFaults, random: Random) -> ShopFaults:
    if random.random() < 0.15:
        # Payment dies and loses its messages after a commit of its provider, before it records it.
        faults = replace(faults, emptied=0.3, emptied_kind=LEDGER)
    if random.random() < 0.35:
        # Operators restart, redrive and provision, and what expires does so within minutes.
        faults = replace(faults, **OPERATORS)
    if random.random() < 0.35:
        faults = replace(faults, **MISFORTUNES)
    # A party does not expect its cart to expire.
    if random.random() < 0.5 and not faults.expiry_speedup:
        restarts = random.choice([0, 1])
        faults = replace(faults, through_gateway=THROUGH_GATEWAY, gateway_restarts_per_minute=restarts)
    return replace(
        faults,
        missing_seconds=random.choice([1, 5, 20]),
        mixed_versions=random.random() < 0.5,
        forged=random.choice([0, 0, 0.2]),
        # A stream shows what was published: also the contradiction that is not on record.
        contradicted=0.0 if faults.through_gateway else random.choice([0, 0, 0.3, 0.9]),
    )


REACHING_SAGAS = 10_000
"""Sagas within which a campaign must reach everything; fewer reach it by chance."""
CAMPAIGN = Simulation(TOPOLOGY, BUILDERS, Shop, ShopFaults(), must_reach=MUST_REACH, draw=drawn)
"""The simulation that `make simulate` runs."""
