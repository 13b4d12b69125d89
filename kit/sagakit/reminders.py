"""The watch: whoever waits for an answer repeats its last word, so that no lost message leaves it waiting.

What waits carries `due`, and is found by it as outbox rows are; what is settled has none.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from sagakit.due import decode_due, encode_due, is_due
from sagakit.errors import Contention
from sagakit.runtime import Backoff, Runtime
from sagakit.store import Changes, Snapshot, Store
from sagakit.tables import DUE, Entity, Key, Row
from sagakit.telemetry.overdue import Overdue

log = structlog.get_logger()

MAX_INTERVAL_SECONDS = 600.0
REMINDERS_PER_SECOND = 50.0
"""Of one process: what a broker that lost everything is told again must not be what fills it up."""
REMINDER_BURST = 100.0
MAX_UNANSWERED = 100
"""Words of one process that nobody has answered: where more wait, further words would wait with them."""
CHECK_INTERVAL_SECONDS = 0.25

RemindFn = Callable[[str, Entity, float, str], Changes[bool]]
"""A pure function of (name, entity, now, eventid): what is said again of what waits, with a later `due`.

Its result: whether it is only said again, so that it may as well be left unsaid.
"""


@dataclass(frozen=True, slots=True)
class ReminderSchedule:
    """How long whoever waits leaves between one word and its repetition: pauses that double.

    Their jitter is the sweeper's, who comes by at random moments.
    """

    interval_seconds: float = 15.0

    def next_at(self, now: float, repeats: int) -> float:
        """When to repeat a word that was said just now, and was repeated `repeats` times before."""
        pauses = Backoff(self.interval_seconds, MAX_INTERVAL_SECONDS, attempts=1 << 30)
        return now + pauses.max_delay(repeats)


def due_property(name: str, until: float | None) -> Entity:
    """The property that has an entity looked at again `until` then; None: never."""
    return {} if until is None else {DUE: encode_due(name, until)}


class Reminders:
    """Reminds of the entities of one kind that are past their `due`, each as one step.

    Its answers may be late because whoever gives them has a backlog, which a word more makes longer. So only
    so many words are unanswered at a time, as in a window of TCP: where messages were lost, answers free it
    within moments; in a backlog, the rest waits for its next turn as if it had been said.
    """

    def __init__(
        self,
        store: Store,
        remind: RemindFn,
        runtime: Runtime,
        is_saturated: Callable[[], bool],
        overdue: Overdue | None = None,
    ) -> None:
        """`is_saturated`: whether the service has a backlog, in which the replies may be.

        `overdue` is told what was found waiting.
        """
        self._store = store
        self._remind = remind
        self._runtime = runtime
        self._is_saturated = is_saturated
        self._unanswered: dict[Key, str | None] = {}
        """What was said again, with the `due` it was left with."""
        self._overdue = overdue or Overdue()
        self._checked_at = float("-inf")
        self._allowance = REMINDER_BURST
        self._counted_at = runtime.monotonic()

    def capacity(self) -> int:
        """How many may be reminded of now."""
        now, counted_at = self._runtime.now(), self._runtime.monotonic()
        earned = (counted_at - self._counted_at) * REMINDERS_PER_SECOND
        self._allowance, self._counted_at = min(REMINDER_BURST, self._allowance + earned), counted_at
        if self._is_saturated():
            self._overdue.pause(now)
            return 0
        self._overdue.expire(now)
        return int(self._allowance)

    async def claim(self, key: Key, _row: Row) -> None:
        """Remind of it, unless somebody else has, or has answered in the meantime."""
        now, eventid = self._runtime.now(), self._runtime.new_id()
        # What was said before holds its place in the window: it may have been lost.
        unsaid = key not in self._unanswered and await self._too_many_unanswered()

        def decide(found: Snapshot) -> Changes[bool]:
            entity = found.get(key)
            if entity is None or not is_due(entity.get(DUE), now):
                return Changes(False)
            changes = self._remind(key.name, entity, now, eventid)
            return replace(changes, result=False, events=()) if unsaid and changes.result else changes

        try:
            changes = await self._store.transact([key], decide)
        except Contention:
            return
        self._allowance -= len(changes.events)
        self._note(key, changes.writes.get(key), now)
        if changes.result:
            self._unanswered[key] = changes.writes[key].get(DUE)
            log.info("reminder published", kind=key.kind, name=key.name)

    def _note(self, key: Key, entity: Entity | None, now: float) -> None:
        if entity is None or (due := entity.get(DUE)) is None:
            self._overdue.discard([key])
        else:
            self._overdue.record(key, entity, decode_due(due), now)

    async def _too_many_unanswered(self) -> bool:
        """Whether the window is full: looked after now and then, and only then."""
        if len(self._unanswered) < MAX_UNANSWERED:
            return False
        now = self._runtime.monotonic()
        if now - self._checked_at >= CHECK_INTERVAL_SECONDS:
            self._checked_at = now
            found = await self._store.read(list(self._unanswered))
            self._unanswered = {
                key: due for key, due in self._unanswered.items() if _waits_still(found.get(key), due)
            }
        return len(self._unanswered) >= MAX_UNANSWERED


def _waits_still(entity: Entity | None, due: str | None) -> bool:
    return entity is not None and due is not None and entity.get(DUE) == due
