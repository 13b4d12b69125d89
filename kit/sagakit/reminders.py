"""Reminders: an entity that waits for a reply republishes its last event, in case a message was lost.

An entity that waits has the property `due`, by which a sweeper finds it; one that is settled has none.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from sagakit.due import decode_due, encode_due, is_due
from sagakit.errors import Contention
from sagakit.runtime import Backoff, Runtime
from sagakit.store import Changes, Snapshot, Store
from sagakit.tables import DUE, Entity, Key, Row

log = structlog.get_logger()

MAX_INTERVAL_SECONDS = 600.0
REMINDERS_PER_SECOND = 50.0
"""Republishing limit per process, so that recovery after message loss does not itself overload the broker."""
REMINDER_BURST = 100.0
"""Reminders that may be published at once after a pause."""
MAX_UNANSWERED = 100
"""Maximum unanswered reminders per process.

Beyond this the receiver is presumably backlogged, and more would only add to it.
"""
CHECK_INTERVAL_SECONDS = 0.25
"""Minimum interval between two lookups of the entities with unanswered reminders."""

RemindFn = Callable[[str, Entity, float, str], Changes[bool]]
"""A pure function of (name, entity, now, eventid) for an entity past its `due`; `now` is wall-clock time.

Returns the entity with a later `due`, or with none if it is settled, and the events to publish. The
result is True if they only repeat an earlier event: then they may be left out, and only `due` moves.
"""


@dataclass(frozen=True, slots=True)
class ReminderSchedule:
    """Exponential intervals between an event and its republications, up to MAX_INTERVAL_SECONDS.

    They need no jitter of their own: a sweeper finds entities at random times after their `due`.
    """

    interval_seconds: float = 15.0
    """Until the first reminder; it doubles with each one."""

    def next_at(self, now: float, reminders_sent: int) -> float:
        """Return when to republish an event that was published at `now`, as reminder or first."""
        intervals = Backoff(self.interval_seconds, MAX_INTERVAL_SECONDS, attempts=1 << 30)
        return now + intervals.max_delay(reminders_sent)


def due_property(name: str, at: float | None) -> Entity:
    """Return the property by which a sweeper finds the entity `name` at `at` (wall clock); None: never."""
    return {} if at is None else {DUE: encode_due(name, at)}


class Reminders:
    """Publishes the reminders of one kind of entities, each in a transaction.

    A reply may be late because its sender has a backlog, which a reminder makes longer. So there is a
    window of unanswered reminders, as in TCP. After message loss, replies free it within moments; with
    a backlog, the remaining entities wait for their next turn, as if their reminders had been published.
    """

    def __init__(
        self, store: Store, remind: RemindFn, runtime: Runtime, is_saturated: Callable[[], bool]
    ) -> None:
        """`is_saturated`: whether the service itself has a backlog, in which the replies may be."""
        self._store = store
        self._remind = remind
        self._runtime = runtime
        self._is_saturated = is_saturated
        self._unanswered: dict[Key, str | None] = {}
        """The entities whose reminders were published, with the `due` they were left with."""
        self._checked_at = float("-inf")
        self._allowance = REMINDER_BURST
        self._allowance_at = runtime.monotonic()

    def capacity(self) -> int:
        """Return how many entities may be claimed now: the allowance of a token bucket; 0 if saturated."""
        now = self._runtime.monotonic()
        earned = (now - self._allowance_at) * REMINDERS_PER_SECOND
        self._allowance, self._allowance_at = min(REMINDER_BURST, self._allowance + earned), now
        is_saturated = self._is_saturated()
        self._runtime.observer.reminding(active=not is_saturated)
        return 0 if is_saturated else int(self._allowance)

    async def claim(self, key: Key, _row: Row) -> None:
        """Publish the entity's reminder, unless another process did so or the reply has arrived.

        Raises Unavailable if the database cannot be reached.
        """
        now, eventid = self._runtime.now(), self._runtime.new_id()
        # An entity that is in the window already keeps its place: its last reminder may have been lost.
        skip = key not in self._unanswered and await self._is_window_full()

        def decide(found: Snapshot) -> Changes[bool]:
            entity = found.get(key)
            # Read again in the transaction: the sweeper's row may be outdated.
            if entity is None or not is_due(entity.get(DUE), now):
                return Changes(False)
            changes = self._remind(key.name, entity, now, eventid)
            return replace(changes, result=False, events=()) if skip and changes.result else changes

        try:
            changes = await self._store.transact([key], decide)
        except Contention:
            return
        # Only published events use up the allowance; entities that just wait on do not.
        self._allowance -= len(changes.events)
        self._report(key, changes.writes.get(key))
        if changes.result:
            self._unanswered[key] = changes.writes[key].get(DUE)
            log.info("reminder published", kind=key.kind, name=key.name)

    def _report(self, key: Key, entity: Entity | None) -> None:
        if entity is None or (due := entity.get(DUE)) is None:
            self._runtime.observer.settled(key)
        else:
            self._runtime.observer.waiting(key, entity, decode_due(due))

    async def _is_window_full(self) -> bool:
        """Whether MAX_UNANSWERED reminders are unanswered. Looks the entities up only if it seems so."""
        if len(self._unanswered) < MAX_UNANSWERED:
            return False
        now = self._runtime.monotonic()
        if now - self._checked_at >= CHECK_INTERVAL_SECONDS:
            self._checked_at = now
            found = await self._store.read(list(self._unanswered))
            self._unanswered = {
                key: due for key, due in self._unanswered.items() if _still_waits(found.get(key), due)
            }
        return len(self._unanswered) >= MAX_UNANSWERED


def _still_waits(entity: Entity | None, due: str | None) -> bool:
    # A reply changes or removes `due`, and so does another process's reminder.
    return entity is not None and due is not None and entity.get(DUE) == due
