"""The inbox: names of events and commands already applied, written with what they changed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from sagakit.runtime import Runtime
from sagakit.store import Changes, Decide, Snapshot
from sagakit.tables import EXPIRES_AT, Entity, Key

R = TypeVar("R")

INBOX_RETENTION = timedelta(days=60)
"""Far beyond the 31 days that a subscription can keep a message nobody acknowledged."""


def inbox_kind(service: str) -> str:
    """Return the kind of a service's inbox rows, e.g. `StockReceivedEvent`."""
    return f"{service.capitalize()}ReceivedEvent"


class Inbox:
    """Rows of one kind, named by what was applied."""

    def __init__(self, kind: str, runtime: Runtime) -> None:
        self.kind = kind
        self._runtime = runtime

    def key(self, name: str) -> Key:
        """The row of what was applied under `name`."""
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
        """`decide`, but where `name` was applied before: nothing changes, and `load` of its row answers.

        No read is spent on it: the row, with what `dump` makes of the result, is inserted blind
        in the same commit. A duplicate collides, and `Store.transact` looks the row up then. A step
        that changes nothing leaves no row, unless `always`. A step that might refuse a duplicate,
        because of what happened since, must look up `key(name)` with the rest.
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
