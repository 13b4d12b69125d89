"""The faults of the shop's simulation: those of every service, and some that only the shop can have."""

from dataclasses import dataclass, replace

from sagakit.testing.faults import FaultRates
from services.payment.simulated import LEDGER


@dataclass(frozen=True, slots=True)
class ShopFaults(FaultRates):
    """Probabilities per call or message, unless stated otherwise."""

    forged: float = 0.0
    """Delivery publishes, about a new order, a report that only payment may publish."""
    contradicted: float = 0.0
    """Stock answers once more about an order that has failed, as after a restore: it is reserved, or paid."""
    mixed_versions: bool = False
    """Half of the replicas are of a newer release, which writes what this version does not know."""
    redrives_per_minute: float = 0.0
    """How often the operator redrives the dead letters."""
    through_gateway: float = 0.0
    """Share of clients that order through the gateway, and follow their orders there."""
    gateway_restarts_per_minute: float = 0.0
    """How often a gateway dies, or drains, and starts again."""
    provisions_per_minute: float = 0.0
    """How often the operator creates or updates topics and subscriptions."""
    late_repeats: float = 0.0
    """Share of clients that repeat one of their calls long afterwards."""


UNRELIABLE = ShopFaults()
NO_MESSAGE_LOSS = replace(UNRELIABLE, dropped=0, emptied=0)
"""A broker that loses no message, so that no reminders are needed."""
MIXED = replace(UNRELIABLE, mixed_versions=True)
PAYMENT_DIES = replace(UNRELIABLE, emptied=0.5, emptied_kind=LEDGER, missing_seconds=20)
"""Payment dies and loses its messages after every second commit of its provider, before it records it."""
OPERATED = replace(
    MIXED,
    drains_per_minute=12,
    poisoned=0.02,
    delivery_attempts=25,
    redrives_per_minute=3,
    provisions_per_minute=3,
    expiry_speedup=14_400,
    late_repeats=0.1,
)
"""Operators restart processes and redrive dead letters, and what expires does so within six minutes."""
STRICKEN = replace(
    UNRELIABLE,
    loses_replicas=True,
    clogs_per_minute=10,
    skew_seconds=60,
    clock_drift=0.01,
    clock_jumps_per_minute=6,
)
"""One replica of each service is lost for good, edges are clogged, and clocks drift and jump."""
FOLLOWED = replace(UNRELIABLE, through_gateway=0.3, gateway_restarts_per_minute=1)
"""Some clients use the gateway, which restarts now and then."""
FORGING = replace(UNRELIABLE, forged=0.2)
CONTRADICTING = replace(UNRELIABLE, contradicted=0.3)
SKEWED = replace(MIXED, skew_seconds=60)
VERY_SKEWED = replace(MIXED, skew_seconds=600)
