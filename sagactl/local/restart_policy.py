"""How long to wait before a program that ended is started again."""

import random

from sagakit.runtime import Backoff

STABLE_AFTER_SECONDS = 30.0
"""Who lived that long is no part of a crash loop."""

MAX_RESTARTS = 3
"""Deaths in a row that, while the suite starts, are the end of it."""

CRASH_LOOP_RESTARTS = 5
"""Deaths in a row that are reported as a crash loop."""

RESTART_BACKOFF = Backoff(first_seconds=0.5, cap_seconds=30.0, attempts=2**31)


class RestartPolicy:
    """The deaths in a row of one program."""

    def __init__(self, pauses: Backoff, randomness: random.Random) -> None:
        self._pauses = pauses
        self._random = randomness
        self.in_a_row = 0

    def delay_after(self, lived_seconds: float) -> float:
        """Seconds to wait after one more death: they double up to a cap, each less up to a half."""
        self.in_a_row = 1 if lived_seconds >= STABLE_AFTER_SECONDS else self.in_a_row + 1
        return self._pauses.max_delay(self.in_a_row - 1) * self._random.uniform(0.5, 1.0)

    @property
    def gave_up(self) -> bool:
        return self.in_a_row >= MAX_RESTARTS

    @property
    def crash_looping(self) -> bool:
        return self.in_a_row >= CRASH_LOOP_RESTARTS
