"""When to ask again: pauses that double, as long as the server asks for, and not for ever."""

import random
from dataclasses import dataclass

from sagaclient.errors import APIStatusError, SagaClientError, TransportError, Unavailable

CONTENTION = "contention"
"""The reason of a conflict in which others kept getting there first, and nothing was changed."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a request is made, and the pauses between."""

    max_attempts: int = 5
    initial_backoff: float = 0.1
    max_backoff: float = 5.0
    max_retry_after: float = 30.0
    """A server that asks for a longer pause is not asked again."""

    def pause(self, attempt: int, error: SagaClientError) -> float | None:
        """How long to wait after that attempt (the first is 0) ended so; None: it ended for good."""
        if attempt + 1 >= self.max_attempts or not _worth_repeating(error):
            return None
        asked_for = error.retry_after_seconds if isinstance(error, APIStatusError) else None
        if asked_for is not None and asked_for > self.max_retry_after:
            return None
        # Half of it by chance: clients that failed together do not come back together.
        longest = min(self.max_backoff, self.initial_backoff * 2.0**attempt)
        return (asked_for or 0) + longest * random.uniform(0.5, 1.0)


def _worth_repeating(error: SagaClientError) -> bool:
    """Whether the same request may be answered otherwise next time, with no change of the caller's."""
    if isinstance(error, APIStatusError) and error.reason == CONTENTION:
        return True
    return isinstance(error, TransportError | Unavailable)
