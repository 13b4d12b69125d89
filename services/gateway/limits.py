"""How often clients may ask: token buckets, in the memory of this process alone."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

BURST_SECONDS = 2.0
"""A client that was quiet may ask at once what it might have asked in so long."""
MAX_CLIENTS = 50_000
"""Those that were quiet for longest are forgotten beyond it, which costs none of them anything."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class Rate:
    """So many requests a second for each client."""

    def __init__(self, per_second: float, now: Callable[[], float], max_clients: int = MAX_CLIENTS) -> None:
        self._per_second = per_second
        self._full = max(1.0, per_second * BURST_SECONDS)
        self._now = now
        self._most_clients = max_clients
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, client: str) -> float:
        """0 where the client may go on; else the seconds after which it may."""
        now = self._now()
        bucket = self._buckets.setdefault(client, _Bucket(self._full, now))
        self._buckets.move_to_end(client)
        if len(self._buckets) > self._most_clients:
            self._buckets.popitem(last=False)
        bucket.tokens = min(self._full, bucket.tokens + (now - bucket.filled_at) * self._per_second)
        bucket.filled_at = now
        if bucket.tokens < 1:
            return (1 - bucket.tokens) / self._per_second
        bucket.tokens -= 1
        return 0
