"""How bad it is: the odds of everything that can go wrong."""

from dataclasses import dataclass, fields, replace
from random import Random


@dataclass(frozen=True, slots=True)
class Weather:
    """Probabilities per call or message, unless said otherwise."""

    latency_seconds: float = 0.02
    """The mean time that any call to a backend takes."""
    lost_race: float = 0.02
    """A commit is refused though nobody else was there."""
    unknown_applied: float = 0.01
    """A commit is applied, and its answer is lost."""
    unknown_lost: float = 0.01
    """A commit is lost, and so is its answer."""
    away: float = 0.002
    """A call finds the backend away."""
    duplicated: float = 0.05
    delayed: float = 0.05
    """A message takes up to a minute."""
    dropped: float = 0.01
    """A message that the broker took disappears."""
    ack_lost: float = 0.03
    publish_unknown: float = 0.01
    """Messages are taken, and the broker's answer is lost."""
    answer_lost: float = 0.05
    """The payment provider has charged, and nobody hears of it."""
    outage_seconds: float = 90.0
    """How long the broker takes no messages, once."""
    kills_per_minute: float = 20.0
    """SIGKILLs, evenly over all processes."""
    down_seconds: float = 5.0
    """The longest a killed process stays away."""
    skew_seconds: float = 0.0
    """How far clocks are apart, at most."""

    def latency(self, random: Random) -> float:
        return random.expovariate(1 / self.latency_seconds)


ROUGH = Weather()
RELIABLE = replace(ROUGH, dropped=0)
"""A broker that keeps what it took: then nobody has to repeat anything."""
SKEWED = replace(ROUGH, skew_seconds=60)
VERY_SKEWED = replace(ROUGH, skew_seconds=600)
FAIR = Weather(**{each.name: 0 for each in fields(Weather)} | {"latency_seconds": 0.01})  # type: ignore[arg-type]
