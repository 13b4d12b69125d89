"""The outbox: events committed with the state they announce, until the broker has taken them."""

from collections.abc import Iterable, Sequence
from typing import Any

from sagakit.due import encode_due
from sagakit.events import Event
from sagakit.runtime import Backoff, Runtime
from sagakit.tables import DUE, Delete, Insert, Key, Row, Update

RELAY_GRACE_SECONDS = 10.0
"""After the commit the relay publishes at once; only what it has not finished by then is swept."""

REPUBLISH_BACKOFF = Backoff(first_seconds=30, cap_seconds=600, attempts=1 << 30)
"""How long a claimed row is left alone, by how often it was claimed (its `claims`)."""


def outbox_kind(service: str) -> str:
    """Return the kind of a service's outbox rows, e.g. `StockPublishEvent`."""
    return f"{service.capitalize()}PublishEvent"


class Outbox:
    """Events as rows of one kind, named by their eventids."""

    def __init__(self, kind: str, runtime: Runtime) -> None:
        self.kind = kind
        self._runtime = runtime

    def inserts(self, events: Iterable[Event]) -> list[Insert]:
        """The mutations that belong in the commit of the state these events announce."""
        due = self._runtime.now() + RELAY_GRACE_SECONDS
        return [Insert(self._key(event.eventid), _entity(event, due)) for event in events]

    def deletes(self, eventids: Sequence[str]) -> list[Delete]:
        """For after the broker's answer."""
        return [Delete(self._key(eventid)) for eventid in eventids]

    def claim(self, key: Key, row: Row) -> Update:
        """Moves `due` forward: of several that try, one succeeds, and nobody else looks for a while.

        The pause doubles with every claim, so a row that cannot be published never blocks the others.
        """
        claims = int(row.entity["claims"]) + 1
        due = self._runtime.now() + REPUBLISH_BACKOFF.max_delay(claims - 1)
        return Update(key, {**row.entity, "claims": claims, DUE: encode_due(key.name, due)}, row.version)

    def event(self, key: Key, row: Row) -> Event:
        entity = row.entity
        return Event(key.name, entity["type"], entity["body"], entity["attributes"])

    def _key(self, eventid: str) -> Key:
        return Key(self.kind, eventid)


def _entity(event: Event, due: float) -> dict[str, Any]:
    return {
        "type": event.type,
        "body": event.body,
        "attributes": dict(event.attributes),
        "claims": 0,
        DUE: encode_due(event.eventid, due),
    }
