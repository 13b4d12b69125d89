"""The outbox: events committed with the state they announce, until the broker has accepted them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sagakit.due import encode_due
from sagakit.events import Event
from sagakit.runtime import Backoff, Runtime
from sagakit.tables import DUE, Delete, Insert, Key, Row, Update, kind_prefix

RELAY_GRACE_SECONDS = 10.0
"""How long after the commit a row becomes due: the relay publishes at once, and usually deletes it before."""

REPUBLISH_BACKOFF = Backoff(first_seconds=30, cap_seconds=600, attempts=1 << 30)
"""Time until a claimed row is due again, by how often it was claimed (its `claims`)."""


def outbox_kind(service: str) -> str:
    """Return the kind of a service's outbox rows, e.g. `BillingPublishEvent`."""
    return f"{kind_prefix(service)}PublishEvent"


class Outbox:
    """Converts events to rows of one kind, named by their eventids, and back."""

    def __init__(self, kind: str, runtime: Runtime) -> None:
        self.kind = kind
        self._runtime = runtime

    def inserts(self, events: Iterable[Event]) -> list[Insert]:
        """Return the mutations for the commit of the state that the events announce."""
        due = self._runtime.now() + RELAY_GRACE_SECONDS
        return [Insert(Key(self.kind, event.eventid), _entity(event, due)) for event in events]

    def deletes(self, eventids: Sequence[str]) -> list[Delete]:
        """Return the mutations for the time after the broker has accepted the events."""
        return [Delete(Key(self.kind, eventid)) for eventid in eventids]

    def claim(self, key: Key, row: Row) -> Update:
        """Return the update that moves `due` forward, so that no other sweeper finds the row for a while.

        It names the row's version: of several processes that try, one succeeds, the others conflict.
        The time doubles with every claim, so that rows that cannot be published never block others.
        """
        claims = int(row.entity["claims"]) + 1
        due = self._runtime.now() + REPUBLISH_BACKOFF.max_delay(claims - 1)
        return Update(key, {**row.entity, "claims": claims, DUE: encode_due(key.name, due)}, row.version)

    def event(self, key: Key, row: Row) -> Event:
        """Return the event in a row. Raises ValueError or LookupError if it holds none."""
        type_, body, attributes = (row.entity[name] for name in ("type", "body", "attributes"))
        texts = [type_, *attributes.values()] if isinstance(attributes, Mapping) else [None]
        if not isinstance(body, bytes) or not all(isinstance(text, str) for text in texts):
            raise ValueError("a property of the row has the wrong type")
        return Event(key.name, type_, body, attributes)


def _entity(event: Event, due: float) -> dict[str, Any]:
    return {
        "type": event.type,
        "body": event.body,
        "attributes": dict(event.attributes),
        "claims": 0,
        DUE: encode_due(event.eventid, due),
    }
