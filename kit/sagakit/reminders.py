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
"""Maximum unanswered reminders per process and awaited participant.

Beyond this the receiver is presumably backlogged, and more would only add to it.
"""
MAX_REPETITIONS = 3
"""Repetitions of an unanswered reminder, the last of which gives up its place: it may never be answered."""
CHECK_INTERVAL_SECONDS = 0.25
"""Minimum interval between two lookups of the entities with unanswered reminders."""

RemindFn = Callable[[str, Entity, float, str], Changes[str | None]]
"""A pure function of (name, entity, now, eventid) for an entity past its `due`; `now` is wall-clock time.

Returns the entity with a later `due`, at most MAX_INTERVAL_SECONDS from now, or with none if it is
settled, and the events to publish. The result names the participant whose reply is awaited (one of a few
names) if the events only repeat an earlier one: then they may be left out. It is None for everything
else, such as a cancellation at a deadline, which is committed whatever else happens.
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
    window of unanswered reminders for each awaited participant, as in TCP. After message loss, replies
    free it within moments; with a backlog, the remaining entities wait for their next turn, as if their
    reminders had been published. The third repetition gives up its place, so that entities that are never
    answered keep it from no other for long. While the service itself is saturated, all reminders pause.
    """

    def __init__(
        self, store: Store, remind: RemindFn, runtime: Runtime, is_saturated: Callable[[], bool]
    ) -> None:
        """`is_saturated`: whether the service itself has a backlog, in which the replies may be."""
        self._store = store
        self._remind = remind
        self._runtime = runtime
        self._is_saturated = is_saturated
        self._windows: dict[str, _Window] = {}
        """By awaited participant."""
        self._allowance = REMINDER_BURST
        self._allowance_at = runtime.monotonic()

    def capacity(self) -> int:
        """Return how many entities may be claimed now: the allowance of a token bucket."""
        now = self._runtime.monotonic()
        earned = (now - self._allowance_at) * REMINDERS_PER_SECOND
        self._allowance, self._allowance_at = min(REMINDER_BURST, self._allowance + earned), now
        self._runtime.observer.reminding(active=not self._is_saturated())
        return int(self._allowance)

    async def claim(self, key: Key, row: Row) -> bool:
        """Publish the entity's reminder, unless another process did so or the reply has arrived.

        Returns False if the entity is left for a later sweep. Raises Unavailable if the database cannot
        be reached, and what the RemindFn raises.
        """
        now, eventid = self._runtime.now(), self._runtime.new_id()
        # Asked of the sweeper's row first: while reminders pause, they cost neither a lookup nor a commit.
        awaited = self._remind(key.name, row.entity, now, eventid).result
        if awaited is not None and self._is_saturated():
            return False
        window = self._windows.setdefault(awaited, _Window(self._store, self._runtime)) if awaited else None
        # An entity that is in the window already keeps its place: its last reminder may have been lost.
        postpone = window is not None and key not in window.unanswered and await window.is_full()

        def decide(found: Snapshot) -> Changes[str | None]:
            entity = found.get(key)
            # Read again in the transaction: the sweeper's row may be outdated.
            if entity is None or not is_due(entity.get(DUE), now):
                return Changes(None)
            changes = self._remind(key.name, entity, now, eventid)
            if postpone and changes.result == awaited:
                return replace(changes, result=None, events=())
            return changes

        try:
            changes = await self._store.transact([key], decide)
        except Contention:
            return False
        # Only published events use up the allowance; entities that just wait on do not.
        self._allowance -= len(changes.events)
        self._report(key, changes.writes.get(key))
        if changes.result is not None:
            if window is not None:
                window.sent(key, changes.writes[key].get(DUE))
            log.info("reminder published", kind=key.kind, name=key.name)
        return True

    def _report(self, key: Key, entity: Entity | None) -> None:
        if entity is None or (due := entity.get(DUE)) is None:
            self._runtime.observer.settled(key)
        else:
            self._runtime.observer.waiting(key, entity, decode_due(due))


class _Window:
    """The entities whose reminders to one participant are unanswered."""

    def __init__(self, store: Store, runtime: Runtime) -> None:
        self.unanswered: dict[Key, str | None] = {}
        """The `due` with which each was left."""
        self._repetitions: dict[Key, int] = {}
        """How often the reminder of each was repeated."""
        self._store = store
        self._runtime = runtime
        self._checked_at = float("-inf")

    def sent(self, key: Key, due: str | None) -> None:
        """Keep a place for an entity, which was left with that `due`, unless it has had one for long."""
        repetitions = self._repetitions.get(key, -1) + 1
        if repetitions < MAX_REPETITIONS:
            self.unanswered[key], self._repetitions[key] = due, repetitions
        else:
            self._remove(key)

    def _remove(self, key: Key) -> None:
        del self.unanswered[key], self._repetitions[key]

    async def is_full(self) -> bool:
        """Whether MAX_UNANSWERED reminders are unanswered. Looks the entities up only if it seems so."""
        if len(self.unanswered) < MAX_UNANSWERED:
            return False
        now = self._runtime.monotonic()
        if now - self._checked_at >= CHECK_INTERVAL_SECONDS:
            self._checked_at = now
            found = await self._store.read(list(self.unanswered))
            for key, due in list(self.unanswered.items()):
                if not _still_waits(found.get(key), due):
                    self._remove(key)
        return len(self.unanswered) >= MAX_UNANSWERED


def _still_waits(entity: Entity | None, due: str | None) -> bool:
    # A reply changes or removes `due`, and so does another process's reminder.
    return entity is not None and due is not None and entity.get(DUE) == due
