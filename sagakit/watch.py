"""The watch: whoever waits for an answer repeats its last word, so that no lost message leaves it waiting.

What waits carries `due`, and is found by it as outbox rows are; what is settled has none.
"""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from sagakit.due import due_at, is_due
from sagakit.errors import Contention
from sagakit.runtime import Backoff, Runtime
from sagakit.store import Changes, Snapshot, Store
from sagakit.tables import INDEXED, Entity, Key, Row

log = structlog.get_logger()

LONGEST_PAUSE_SECONDS = 600.0
REPEATS_PER_SECOND = 50.0
"""Of one process: what a broker that lost everything is told again must not be what fills it up."""
BURST = 100.0

Remind = Callable[[str, Entity, float, str], Changes[bool]]
"""A pure function of (name, entity, now, eventid): what is said again of what waits, with a later `due`."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long whoever waits leaves between one word and its repetition: pauses that double.

    Their jitter is the sweeper's, who comes by at random moments.
    """

    repeat_after_seconds: float = 15.0

    def until(self, now: float, repeats: int) -> float:
        """When to repeat a word that was said just now, and was repeated `repeats` times before."""
        pauses = Backoff(self.repeat_after_seconds, LONGEST_PAUSE_SECONDS, attempts=1 << 30)
        return now + pauses.longest(repeats)


def waiting(name: str, until: float | None) -> Entity:
    """The property that has an entity looked at again `until` then; None: never."""
    return {} if until is None else {INDEXED: due_at(name, until)}


class Watch:
    """Reminds of the entities of one kind that are past their `due`, each as one step."""

    def __init__(self, store: Store, remind: Remind, runtime: Runtime, keeps_up: Callable[[], bool]) -> None:
        """`keeps_up`: whether the service hears its answers; one that lags has them in its backlog."""
        self._store = store
        self._remind = remind
        self._runtime = runtime
        self._keeps_up = keeps_up
        self._allowance = BURST
        self._counted_at = runtime.now()

    def room(self) -> int:
        """How many may be reminded of now."""
        now = self._runtime.now()
        earned = max(0.0, now - self._counted_at) * REPEATS_PER_SECOND
        self._allowance, self._counted_at = min(BURST, self._allowance + earned), now
        return int(self._allowance) if self._keeps_up() else 0

    async def claim(self, key: Key, _row: Row) -> None:
        """Remind of it, unless somebody else has, or has answered in the meantime."""
        now, eventid = self._runtime.now(), self._runtime.new_id()

        def decide(found: Snapshot) -> Changes[bool]:
            entity = found.get(key)
            if entity is None or not is_due(key.name, entity.get(INDEXED), now):
                return Changes(False)
            return self._remind(key.name, entity, now, eventid)

        try:
            changes = await self._store.transact([key], decide)
        except Contention:
            return
        if changes.result:
            self._allowance -= 1
            log.info("last word repeated", kind=key.kind, name=key.name)
