"""Time, sleep, randomness and ids: handed in by constructor, so that a simulation can own them."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from sagakit.telemetry.instruments import NO_METRICS, Metrics
from sagakit.telemetry.spans import Spans


@dataclass(frozen=True, slots=True)
class Runtime:
    """Sources of nondeterminism (clocks, sleep, randomness, ids), injectable for tests and simulation.

    The defaults are the real ones.
    """

    now: Callable[[], float] = time.time
    """Wall-clock time in seconds since the epoch: only for what is stored or published, as it may step."""
    monotonic: Callable[[], float] = time.monotonic
    """Seconds since an arbitrary start, never stepping: for durations, intervals, ages and timeouts."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Random = field(default_factory=Random)
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())
    """A new id that cannot be guessed."""
    metrics: Metrics = NO_METRICS
    """Where it is told what happens."""
    spans: Spans = field(default_factory=Spans)
    """What is traced; by default nothing."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that double up to a cap, each drawn evenly from nothing to its length, and end.

    "Full jitter": https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    first_seconds: float
    cap_seconds: float
    attempts: int

    def delays(self, random: Random) -> Iterator[float]:
        for attempt in range(self.attempts):
            yield random.uniform(0, self.max_delay(attempt))

    def max_delay(self, attempt: int) -> float:
        """The most the pause after attempt number `attempt` (from 0) can be."""
        return min(self.cap_seconds, self.first_seconds * 2.0 ** min(attempt, 60))
