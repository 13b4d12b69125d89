"""Swarm testing: each run has a world of its own, drawn from its seed.

Runs that all have the same faults meet the same few situations. What is off in some and extreme in others
meets more: faults hide one another, and a long queue needs a world with few processes.
"""

from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

from sagakit.batching import BatchLimits
from sagakit.testing.faults import FaultRates

if TYPE_CHECKING:
    from sagakit.testing.simulation import Simulation

MAX_REPLICAS = 4
OFF, ORDINARY = 0.25, 0.5
"""Shares of worlds in which a fault is off, or as likely as it is by default; in the others it is extreme."""
EXTREME: Mapping[str, float] = {
    "conflict": 0.2,
    "unknown_applied": 0.08,
    "unknown_lost": 0.08,
    "unavailable": 0.02,
    "crashed": 0.005,
    "duplicated": 0.3,
    "delayed": 0.3,
    "dropped": 0.1,
    "emptied": 0.01,
    "ack_lost": 0.2,
    "publish_unknown": 0.1,
    "outage_seconds": 400.0,
    "kills_per_minute": 40.0,
    "freezes_per_minute": 6.0,
    "skew_seconds": 600.0,
}
ORDINARY_SKEW_SECONDS = 60.0


def draw_world(simulation: "Simulation", random: Random) -> "Simulation":
    """Return the simulation in another world: for `Simulation(draw=draw_world)`."""
    return replace(
        simulation,
        faults=drawn_faults(simulation.faults, random),
        replicas={name: random.randint(1, MAX_REPLICAS) for name in simulation.topology.names},
        environ={**simulation.environ, **_drawn_intervals(random)},
        interval_seconds=simulation.interval_seconds * random.choice([0.1, 0.5, 1, 2]),
        lease_seconds=random.choice([10, 10, 20, 60]),
        max_outstanding=random.choice([1, 5, 20, 100, 100, 100]),
        batches=_drawn_batches(random),
    )


def drawn_faults(ordinary: FaultRates, random: Random, extreme: Mapping[str, float] = EXTREME) -> FaultRates:
    """Return rates of which each is 0, as in `ordinary`, or as in `extreme`. Others stay as they are."""
    drawn: dict[str, Any] = {"latency_seconds": random.choice([0.005, 0.02, 0.02, 0.1])}
    for name, most in extreme.items():
        kind = random.random()
        usual = getattr(ordinary, name) or (ORDINARY_SKEW_SECONDS if name == "skew_seconds" else 0.0)
        drawn[name] = 0.0 if kind < OFF else usual if kind < OFF + ORDINARY else most
    return replace(ordinary, **drawn)


def _drawn_intervals(random: Random) -> dict[str, str]:
    return {
        "SWEEP_SECONDS": random.choice(["5", "10", "10", "30"]),
        "REMINDER_INTERVAL_SECONDS": random.choice(["3", "15", "15", "60"]),
    }


def _drawn_batches(random: Random) -> BatchLimits:
    return BatchLimits(
        in_flight=random.choice([1, 1, 2, 8]),
        transactions=random.choice([1, 2, 25, 25]),
        mutations=random.choice([25, 100, 500]),
    )
