"""What has waited for its answer for too long, as the watch of this process last saw it."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sagakit.tables import Entity, Key
from sagakit.telemetry.instruments import Labels

SLACK_SECONDS = 120.0
"""What is due is seen within so long after it: two passes of a sweeper that rests at every shard."""
AGES = ((60.0, "under 1m"), (300.0, "1m to 5m"), (1800.0, "5m to 30m"), (float("inf"), "over 30m"))
UNKNOWN = "unknown"

WaitingSince = Callable[[Entity], float]
"""When an entity began to wait (seconds since the epoch)."""


@dataclass(frozen=True, slots=True)
class _Seen:
    status: str
    since: float
    until: float
    """When it is looked at again, if it still waits then."""


class Overdue:
    """The entities that were reminded of and are not known to be settled.

    What another process has seen settled is counted until it would have been due again. Where the watch
    does not look, because the service lags, nothing is forgotten meanwhile.
    """

    def __init__(self) -> None:
        self.waiting_since: dict[str, WaitingSince] = {}
        """By kind; of other kinds it is the moment at which one was seen first."""
        self._seen: dict[Key, _Seen] = {}
        self._blind_at = float("-inf")

    def record(self, key: Key, entity: Entity, until: float, now: float) -> None:
        """It waits, and is left alone until then."""
        before = self._seen.get(key)
        began = self.waiting_since.get(key.kind)
        since = began(entity) if began else before.since if before else now
        self._seen[key] = _Seen(str(entity.get("status", UNKNOWN)), since, until)

    def discard(self, keys: Iterable[Key]) -> None:
        """They were written, or are somebody else's: what waits on will be seen again."""
        for key in keys:
            self._seen.pop(key, None)

    def pause(self, now: float) -> None:
        """The watch did not look."""
        self._blind_at = now

    def expire(self, now: float) -> None:
        """What would have been seen by now if it still waited."""
        for key in [key for key, seen in self._seen.items() if self._gone(seen, now)]:
            del self._seen[key]

    def counts(self, now: float) -> Iterable[tuple[float, Labels]]:
        """How many there are of each kind, status and age."""
        counted: Counter[tuple[str, str, str]] = Counter()
        for key, seen in self._current(now):
            age = next(name for bound, name in AGES if now - seen.since < bound)
            counted[key.kind, seen.status, age] += 1
        return [
            (count, {"kind": kind, "status": status, "age": age})
            for (kind, status, age), count in counted.items()
        ]

    def oldest_ages(self, now: float) -> Iterable[tuple[float, Labels]]:
        """How long the oldest of each kind and status has waited, in seconds."""
        oldest: dict[tuple[str, str], float] = {}
        for key, seen in self._current(now):
            of = key.kind, seen.status
            oldest[of] = max(oldest.get(of, 0.0), now - seen.since)
        return [(age, {"kind": kind, "status": status}) for (kind, status), age in oldest.items()]

    def _current(self, now: float) -> list[tuple[Key, _Seen]]:
        # Copied whole, as a scrape comes from another thread.
        return [(key, seen) for key, seen in list(self._seen.items()) if not self._gone(seen, now)]

    def _gone(self, seen: _Seen, now: float) -> bool:
        return now > max(seen.until, self._blind_at) + SLACK_SECONDS
