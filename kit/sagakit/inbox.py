"""The inbox: the ids of events and commands already applied, committed together with their changes."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from sagakit.runtime import Runtime
from sagakit.store import Changes, Decide, Snapshot
from sagakit.tables import EXPIRES_AT, Entity, Key, kind_prefix

R = TypeVar("R")

INBOX_RETENTION = timedelta(days=60)
"""Well beyond Pub/Sub's maximum retention of 31 days for unacknowledged messages."""


def inbox_kind(service: str) -> str:
    """Return the kind of a service's inbox rows, e.g. `BillingReceivedEvent`."""
    return f"{kind_prefix(service)}ReceivedEvent"


class Inbox:
    """Makes decisions idempotent, with rows of one kind that are named by what was applied."""

    def __init__(self, kind: str, runtime: Runtime) -> None:
        self.kind = kind
        self._runtime = runtime

    def key(self, name: str) -> Key:
        """Return the key of the row of the event or command `name`."""
        return Key(self.kind, name)

    def once(
        self,
        name: str,
        decide: Decide[R],
        *,
        load: Callable[[Entity], R],
        dump: Callable[[R], Entity] = lambda _: {},
        always: bool = False,
    ) -> Decide[R]:
        """Return a `decide` that applies `name` (an eventid or a client's command id) at most once.

        The first time it returns what `decide` does, and commits an inbox row with it, which holds
        `dump` of the result and is kept for INBOX_RETENTION. For a duplicate it changes nothing and
        returns `load` of that row, so that a repeated command gets the first one's result; `decide` is
        not called then.

        It costs no read: the row is inserted blind. A duplicate therefore conflicts, and runs again
        with the row looked up. Two cases need care:

        - `decide` runs before that conflict. If it would reject a duplicate because of what has
          happened since, look up `key(name)` with the other keys, so that its row is seen at once.
        - If `decide` changes nothing, no row is written unless `always`, and a duplicate is decided
          anew. Use `always` if its answer must stay the same.
        """
        key = self.key(name)
        expires_at = datetime.fromtimestamp(self._runtime.now(), UTC) + INBOX_RETENTION

        def decide_once(found: Snapshot) -> Changes[R]:
            row = found.get(key)
            if row is not None:
                return Changes(load(row))
            changes = decide(found)
            if changes.unchanged and not always:
                return changes
            row = {**dump(changes.result), EXPIRES_AT: expires_at}
            return replace(changes, writes={**changes.writes, key: row})

        return decide_once
