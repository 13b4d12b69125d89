"""Properties and a status that a newer release writes beside this one, which does not know them.

The properties are in every entity and event, and in every value nested in one; this version must keep them
when it rewrites an entity.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from sagakit.bus import Message
from sagakit.due import decode_due, encode_due
from sagakit.tables import DUE, Delete, Entity, Insert, Mutation

PROPERTY = "of_a_newer_release"
NEW_STATUS = "being-packed"
NEW_EVENTS = 0.03
"""Share of its events that it follows up with one that has NEW_STATUS."""


class NewerRelease:
    """Adds to what is written. No two of the properties have the same value."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._numbers = itertools.count()

    def commit(self, mutations: Sequence[Mutation]) -> list[Mutation]:
        """Return the mutations with its properties, and now and then with an event of its own."""
        extended = [
            each if isinstance(each, Delete) else replace(each, entity=self.extend(each.entity))
            for each in mutations
        ]
        published = [each for each in extended if _is_event(each) and self._random.random() < NEW_EVENTS]
        return [*extended, *map(self._follow_up, published)]

    def message(self, message: Message) -> Message:
        return Message(self._extend_body(message.data), self.extend(message.attributes))

    def extend(self, entity: Mapping[str, Any]) -> dict[str, Any]:
        """Return the entity with one of the properties at every depth; those that it has remain."""
        extended = {name: self._extend(value) for name, value in entity.items()}
        return extended if PROPERTY in entity else {PROPERTY: str(next(self._numbers)), **extended}

    def _extend(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return self.extend(value)
        if isinstance(value, list | tuple):
            return [self._extend(each) for each in value]
        return self._extend_body(value) if isinstance(value, bytes) else value

    def _extend_body(self, body: bytes) -> bytes:
        return json.dumps(self.extend(json.loads(body))).encode()

    def _follow_up(self, event: Insert) -> Insert:
        eventid = f"{self._random.getrandbits(128):032x}"
        body = {**json.loads(event.entity["body"]), "status": NEW_STATUS}
        due = encode_due(eventid, decode_due(event.entity[DUE]))
        attributes = {**event.entity["attributes"], "status": NEW_STATUS}
        entity = {**event.entity, "body": json.dumps(body).encode(), "attributes": attributes, DUE: due}
        return Insert(event.key._replace(name=eventid), entity)


def lost_properties(before: Entity, after: Entity) -> int:
    """Return how many of the properties in `before` are missing in `after`."""
    return len({*_found(before)} - {*_found(after)})


def _is_event(mutation: Mutation) -> bool:
    return isinstance(mutation, Insert) and mutation.key.kind.endswith("PublishEvent")


def _found(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from (each for name, each in value.items() if name == PROPERTY)
        value = value.values()
    if not isinstance(value, str | bytes | int | float | None):
        for each in value if hasattr(value, "__iter__") else ():
            yield from _found(each)
