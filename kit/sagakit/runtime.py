"""Time, sleep, randomness and ids, passed to constructors so that tests and the simulation control them."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from sagakit.observer import Observer


@dataclass(frozen=True, slots=True)
class Runtime:
    """Sources of nondeterminism (clocks, sleep, randomness, ids), injectable for tests and simulation.

    The defaults are the real ones. All times are in seconds.
    """

    now: Callable[[], float] = time.time
    """Wall-clock time since the epoch: only for what is stored or published, as it may step."""
    monotonic: Callable[[], float] = time.monotonic
    """Time since an arbitrary start, which never steps: for durations, intervals, ages and timeouts."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    """Waits for a duration in seconds; 0: lets other tasks run."""
    random: Random = field(default_factory=Random)
    """For jitter and sharding, not for secrets."""
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())
    """Returns a new id that cannot be guessed."""
    observer: Observer = field(default_factory=Observer)
    """Is called with what the core does, to trace and measure it. The default records nothing."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """`attempts` delays, each drawn uniformly between 0 and an upper limit that doubles up to a cap.

    "Full jitter": https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    first_seconds: float
    cap_seconds: float
    attempts: int

    def delays(self, random: Random) -> Iterator[float]:
        """Yield the delay after each attempt, in seconds."""
        for attempt in range(self.attempts):
            yield random.uniform(0, self.max_delay(attempt))

    def max_delay(self, attempt: int) -> float:
        """Return the upper limit of the delay after attempt number `attempt` (from 0), in seconds."""
        return min(self.cap_seconds, self.first_seconds * 2.0 ** min(attempt, 60))
