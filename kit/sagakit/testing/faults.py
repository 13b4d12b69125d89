"""Fault rates: how likely each kind of fault is during a simulation."""

from dataclasses import dataclass, fields, replace
from random import Random
from typing import Any, Self

PARAMETERS = {
    "latency_seconds",
    "emptied_kind",
    "missing_seconds",
    "down_seconds",
    "frozen_seconds",
    "delivery_attempts",
    "clogged_seconds",
}
"""The fields of FaultRates that say how a fault is, and not how often."""


@dataclass(frozen=True, slots=True)
class FaultRates:
    """Probabilities per call or message, unless stated otherwise; 0 switches a fault off.

    Switch off what your broker and database do not do. One that never loses a published message has
    `dropped=0, emptied=0`: then a service works without reminders. Pub/Sub itself loses none that it has
    accepted (it delivers at least once); operators, emulators and retention limits do.
    """

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
    crashed: float = 0.001
    """The process dies during a call to the database, before it takes effect or afterwards."""
    duplicated: float = 0.05
    """A published message is delivered twice."""
    delayed: float = 0.05
    """A message takes up to a minute, so that later ones overtake it."""
    dropped: float = 0.01
    """A published message disappears, on its way to a subscription whose publisher awaits a reply."""
    emptied: float = 0.002
    """After a commit the process dies, and its service's subscriptions are deleted, with all messages that
    were not acknowledged, delivered ones included."""
    emptied_kind: str = ""
    """The only kind of entities after whose commits this happens; by default all."""
    missing_seconds: float = 5.0
    """Time until deleted subscriptions are made again; messages published meanwhile are lost too."""
    ack_lost: float = 0.03
    """A message is redelivered although it was acknowledged."""
    publish_unknown: float = 0.01
    """Messages are published, but the broker's response is lost."""
    outage_seconds: float = 90.0
    """Duration of the one broker outage of a run."""
    kills_per_minute: float = 20.0
    """SIGKILLs, spread evenly over all processes."""
    down_seconds: float = 5.0
    """Maximum time until a killed process restarts."""
    freezes_per_minute: float = 1.0
    """How often a process stops for a while and then continues, spread evenly over all processes."""
    frozen_seconds: float = 30.0
    """Maximum duration of that: longer than a lease, so that another process gets its messages."""
    drains_per_minute: float = 0.0
    """How often a process is restarted as in a rolling restart: after what is in flight, as on SIGTERM."""
    poisoned: float = 0.0
    """A handler takes an event for one that it can never apply: a defect that makes a dead letter of it."""
    delivery_attempts: int = 100
    """Deliveries of a message before the broker makes a dead letter of it."""
    expiry_speedup: float = 0.0
    """How many times faster than in production entities expire; 0: they do not."""
    skew_seconds: float = 0.0
    """Maximum clock skew of a process, in either direction."""
    clock_drift: float = 0.0
    """How much faster or slower a process's clock runs at most, as a share."""
    clock_jumps_per_minute: float = 0.0
    """How often the wall clock of a process is set forward or back, within the maximum skew."""
    clogs_per_minute: float = 0.0
    """How often nothing gets through between a process and the database, the broker or its callers."""
    clogged_seconds: float = 40.0
    """Maximum duration of that: longer than any deadline."""
    loses_replicas: bool = False
    """One replica of each service that has several dies or freezes for good."""

    def latency(self, random: Random) -> float:
        """Return the latency of one call."""
        return random.expovariate(1 / self.latency_seconds)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names under which runs count these faults (`World.reached`)."""
        return tuple(f"fault {each.name}" for each in fields(cls) if each.name not in PARAMETERS)

    def calm(self) -> Self:
        """Return rates at which nothing fails."""
        calm: dict[str, Any] = {each.name: 0.0 for each in fields(self) if each.type is float}
        return replace(self, **{**calm, "latency_seconds": 0.01})

    def __str__(self) -> str:
        """Return the rates that are not 0."""
        values = ((each.name, getattr(self, each.name)) for each in fields(self))
        return ", ".join(f"{name} {value}" for name, value in values if value)


UNRELIABLE = FaultRates()
"""Everything fails now and then."""
NO_MESSAGE_LOSS = replace(UNRELIABLE, dropped=0, emptied=0)
"""A broker that loses no message, so that no reminders are needed."""
