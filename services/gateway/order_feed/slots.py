"""Slots of those who follow an order: limited in all, and for each client."""

from collections import Counter
from collections.abc import Callable

from services.gateway.errors import Problem
from services.gateway.settings import StreamLimits


class FollowerSlots:
    """The event streams and long polls that are open, by client."""

    def __init__(self, limits: StreamLimits) -> None:
        self._limits = limits
        self._taken: Counter[str] = Counter()

    def acquire(self, client: str) -> Callable[[], None]:
        """Take a slot, and return the function that releases it, to be called once.

        Raises Problem: 429 if the client has too many, 503 if all clients together have.
        """
        if self._taken[client] >= self._limits.max_streams_per_client:
            message = "This client has too many event streams open; close one, or try again."
            raise Problem(429, "too-many-streams", message)
        if self._taken.total() >= self._limits.max_streams:
            raise Problem(503, "too-many-streams", "Too many event streams are open; try again.")
        self._taken[client] += 1

        def release() -> None:
            self._taken[client] -= 1
            if not self._taken[client]:
                del self._taken[client]

        return release
