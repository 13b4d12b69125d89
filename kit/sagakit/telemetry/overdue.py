"""Entities that have waited too long for a reply, as the reminders of this process last saw them."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sagakit.tables import Entity, Key
from sagakit.telemetry.instruments import Labels

SLACK_SECONDS = 120.0
"""How long after its due time an entity is found at the latest: two passes of a sweeper at its slowest."""
AGES = ((60.0, "under 1m"), (300.0, "1m to 5m"), (1800.0, "5m to 30m"), (float("inf"), "over 30m"))
UNKNOWN = "unknown"

WaitingSince = Callable[[Entity], float]
"""Returns when an entity began to wait (seconds since the epoch)."""


@dataclass(frozen=True, slots=True)
class _Seen:
    status: str
    since: float
    """When it began to wait (wall clock)."""
    expires_at: float
    """When it is due again (monotonic): one that still waits is found then."""


class Overdue:
    """The entities that a reminder was due for and that are not known to be settled.

    An entity that another process settles is counted until it would have been due again. While
    reminders pause, because the service is saturated, no entry expires.
    """

    def __init__(self, now: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self.waiting_since: dict[str, WaitingSince] = {}
        """By kind; an entity of another kind waits since it was recorded first."""
        self._now = now
        self._monotonic = monotonic
        self._seen: dict[Key, _Seen] = {}
        self._paused_at = float("-inf")

    def record(self, key: Key, entity: Entity, due: float) -> None:
        """Track an entity that still waits, and is due again at `due` (seconds since the epoch)."""
        now, before = self._now(), self._seen.get(key)
        waiting_since = self.waiting_since.get(key.kind)
        since = waiting_since(entity) if waiting_since else before.since if before else now
        expires_at = self._monotonic() + due - now
        self._seen[key] = _Seen(str(entity.get("status", UNKNOWN)), since, expires_at)

    def discard(self, keys: Iterable[Key]) -> None:
        """Stop tracking `keys` (changed, or claimed by another process).

        Those still waiting are recorded again when next seen.
        """
        for key in keys:
            self._seen.pop(key, None)

    def pause(self) -> None:
        """Keep all entries for now: no reminders are being sent, so nothing can be seen again."""
        self._paused_at = self._monotonic()

    def expire(self) -> None:
        """Drop entries that should have been seen again by now and were not: they are settled."""
        for key in [key for key, seen in self._seen.items() if self._is_expired(seen)]:
            del self._seen[key]

    def counts(self) -> Iterable[tuple[float, Labels]]:
        """Return the number of tracked entities by kind, status and age."""
        now = self._now()
        counted: Counter[tuple[str, str, str]] = Counter()
        for key, seen in self._current():
            age = next(name for limit, name in AGES if now - seen.since < limit)
            counted[key.kind, seen.status, age] += 1
        return [
            (count, {"kind": kind, "status": status, "age": age})
            for (kind, status, age), count in counted.items()
        ]

    def oldest_ages(self) -> Iterable[tuple[float, Labels]]:
        """Return how long the oldest entity of each kind and status has waited, in seconds."""
        now = self._now()
        oldest: dict[tuple[str, str], float] = {}
        for key, seen in self._current():
            group = key.kind, seen.status
            oldest[group] = max(oldest.get(group, 0.0), now - seen.since)
        return [(age, {"kind": kind, "status": status}) for (kind, status), age in oldest.items()]

    def _current(self) -> list[tuple[Key, _Seen]]:
        # The dict is copied before it is iterated over: a scrape runs in another thread.
        return [(key, seen) for key, seen in list(self._seen.items()) if not self._is_expired(seen)]

    def _is_expired(self, seen: _Seen) -> bool:
        return self._monotonic() > max(seen.expires_at, self._paused_at) + SLACK_SECONDS
