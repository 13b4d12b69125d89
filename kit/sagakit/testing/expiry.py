"""Expiry on virtual time: entities live as long as they should, divided by a factor."""

from collections.abc import Callable
from datetime import datetime

from sagakit.tables import EXPIRES_AT, Entity, Key


class Expiries:
    """When each entity expires. A run of minutes then has what happens after months."""

    def __init__(self, now: Callable[[], float], speedup: float) -> None:
        """`now` returns the wall-clock time; `speedup`: 0: nothing expires."""
        self._now = now
        self.speedup = speedup
        self._moments: dict[Key, float] = {}

    def put(self, key: Key, entity: Entity | None) -> None:
        """Note what was written; None: it was deleted."""
        if not self.speedup:
            return
        self._moments.pop(key, None)
        expires_at = entity and entity.get(EXPIRES_AT)
        if isinstance(expires_at, datetime):
            now = self._now()
            self._moments[key] = now + (expires_at.timestamp() - now) / self.speedup

    def past(self, now: float, limit: int) -> list[Key]:
        """Return entities that have expired by a caller's clock, which may be wrong."""
        right = self._now()
        by_then = right + (now - right) / self.speedup
        return [key for key, moment in self._moments.items() if moment < by_then][:limit]
