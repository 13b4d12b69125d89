"""Which failures are retried, and after which delay."""

import random
from dataclasses import dataclass

from sagaclient.errors import APIStatusError, SagaClientError, TransportError, Unavailable

CONTENTION = "contention"
"""Reason of a conflict with concurrent changes: nothing was changed, and a retry may succeed."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a request is attempted, and the delays between the attempts. All times in seconds.

    Retried are TransportError, Unavailable and conflicts with the reason `contention`.
    """

    max_attempts: int = 5
    initial_backoff: float = 0.1
    """Longest delay after the first attempt; it doubles with each further attempt."""
    max_backoff: float = 5.0
    max_retry_after: float = 30.0
    """Do not retry if the server asks for a longer delay with Retry-After; reconnect a stream after this
    delay even if it asks for a longer one."""

    def delay(self, attempt: int, error: SagaClientError) -> float | None:
        """Return the seconds to wait after attempt number `attempt` (from 0) failed with `error`.

        None: do not retry. A delay that the server asks for is added to the policy's own.
        """
        if attempt + 1 >= self.max_attempts or not _is_retryable(error):
            return None
        retry_after = error.retry_after_seconds if isinstance(error, APIStatusError) else None
        if retry_after is not None and retry_after > self.max_retry_after:
            return None
        # Half of the delay is random, so that clients that failed together do not retry together.
        backoff = min(self.max_backoff, self.initial_backoff * 2.0**attempt)
        return (retry_after or 0) + backoff * random.uniform(0.5, 1.0)


def _is_retryable(error: SagaClientError) -> bool:
    if isinstance(error, APIStatusError) and error.reason == CONTENTION:
        return True
    return isinstance(error, TransportError | Unavailable)
