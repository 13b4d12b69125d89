"""Fault rates: how likely each kind of fault is during a simulation."""

from dataclasses import dataclass, fields, replace
from random import Random

from services.payment.simulated import LEDGER


@dataclass(frozen=True, slots=True)
class FaultRates:
    """Probabilities per call or message, unless stated otherwise."""

    latency_seconds: float = 0.02
    """Mean latency of a call to a backend."""
    conflict: float = 0.02
    """A commit fails with a conflict although no other writer exists."""
    unknown_applied: float = 0.01
    """A commit is applied, but its response is lost."""
    unknown_lost: float = 0.01
    """A commit is not applied, and its response is lost."""
    unavailable: float = 0.002
    """A call finds the backend unavailable."""
    duplicated: float = 0.05
    delayed: float = 0.05
    """A message takes up to a minute."""
    dropped: float = 0.01
    """A published message disappears."""
    emptied: float = 0.002
    """After a commit the process dies, and its service's subscriptions are deleted, with all messages that
    were not acknowledged, delivered ones included."""
    emptied_kind: str = ""
    """The only kind of entities after whose commits this happens; by default all."""
    missing_seconds: float = 5.0
    """Time until deleted subscriptions are made again; messages published meanwhile are lost too."""
    forged: float = 0.0
    """Delivery publishes, about a new order, a report that only payment may publish."""
    ack_lost: float = 0.03
    publish_unknown: float = 0.01
    """Messages are published, but the broker's response is lost."""
    outage_seconds: float = 90.0
    """Duration of the one broker outage of a run."""
    kills_per_minute: float = 20.0
    """SIGKILLs, spread evenly over all processes."""
    down_seconds: float = 5.0
    """Maximum time until a killed process restarts."""
    mixed_versions: bool = False
    """Half of the replicas are of a newer release, which writes what this version does not know."""
    skew_seconds: float = 0.0
    """Maximum clock skew of a process, in either direction."""

    def latency(self, random: Random) -> float:
        return random.expovariate(1 / self.latency_seconds)


UNRELIABLE = FaultRates()
NO_MESSAGE_LOSS = replace(UNRELIABLE, dropped=0, emptied=0)
"""A broker that loses no message, so that no reminders are needed."""
MIXED = replace(UNRELIABLE, mixed_versions=True)
PAYMENT_DIES = replace(UNRELIABLE, emptied=0.1, emptied_kind=LEDGER)
"""Payment dies and loses its messages after every tenth commit of its provider, before it has the outcome."""
FORGING = replace(UNRELIABLE, forged=0.2)
SKEWED = replace(MIXED, skew_seconds=60)
VERY_SKEWED = replace(MIXED, skew_seconds=600)
FAULT_FREE = FaultRates(
    **{each.name: 0 for each in fields(FaultRates)} | {"latency_seconds": 0.01}  # type: ignore[arg-type]
)
