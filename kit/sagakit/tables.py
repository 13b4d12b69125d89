"""The interface to the database: versioned entities found by key, and atomic commits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from sagakit.errors import Poison

DUE = "due"
"""The only property that is indexed, in entities that have it."""

EXPIRES_AT = "expires_at"
"""When an entity may be deleted (a datetime), in entities that have it: the property of TTL policies."""

TRACEPARENT = "traceparent"
"""The trace context of an entity that waits for a reply, if tracing is on."""

UNREADABLE = "$unreadable"
"""Stands for all properties of an entity whose stored form is damaged; its value is the reason."""

Entity = Mapping[str, Any]
"""Properties: text, bytes, int, float, bool, None, aware datetime, and lists and dicts of these.

A list must not contain a list directly. An entity must be smaller than 1 MiB.
"""


def kind_prefix(service: str) -> str:
    """Return the start of a service's own kinds: `LoyaltyPoints` for `loyalty-points`."""
    return "".join(part.capitalize() for part in service.split("-"))


class Key(NamedTuple):
    """The identity of an entity: its kind, and its name within it."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Row:
    """An entity as it was read. `version` changes with every write that changes the entity."""

    entity: Entity
    version: int


@dataclass(frozen=True, slots=True)
class Insert:
    """Creates an entity. Contention if it exists."""

    key: Key
    entity: Entity


@dataclass(frozen=True, slots=True)
class Update:
    """Replaces an entity. Contention unless it exists in exactly this version."""

    key: Key
    entity: Entity
    version: int


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletes an entity, whether or not it exists."""

    key: Key


Mutation = Insert | Update | Delete

UNSTORABLE = "unstorable"
"""Reason of the Poison that `Tables` raise; details may follow after a colon."""
MAX_NAME_BYTES = 1_500
"""Of a key, in UTF-8 (https://cloud.google.com/datastore/docs/concepts/limits)."""
MAX_LOOKUP_KEYS = 1_000
"""Keys in a lookup, from the same page."""


def check_name(name: str) -> None:
    """Raise Poison, reason UNSTORABLE, if no entity can have that name."""
    size = len(name.encode())
    if not 0 < size <= MAX_NAME_BYTES:
        raise Poison(f"{UNSTORABLE}: a name of {size} bytes")


def check_lookup(keys: Sequence[Key]) -> None:
    """Raise Poison, reason UNSTORABLE, if no lookup can have these keys."""
    if len(keys) > MAX_LOOKUP_KEYS:
        raise Poison(f"{UNSTORABLE}: a lookup of {len(keys)} keys")
    for key in keys:
        check_name(key.name)


MAX_MUTATIONS = 25
"""Mutations in a commit that every backend accepts: the Datastore emulator's limit; others accept 500."""


class Tables(Protocol):
    """A database of entities. Every method raises Unavailable if it cannot be reached."""

    async def lookup(self, keys: Sequence[Key]) -> dict[Key, Row]:
        """Return the entities that exist, each as of its latest commit (strongly consistent).

        Raises Poison, reason UNSTORABLE, for more than MAX_LOOKUP_KEYS keys, or a name that is empty or has
        more than MAX_NAME_BYTES, as `commit` does: an event that causes it can never be applied.
        """

    async def commit(self, mutations: Sequence[Mutation]) -> None:
        """Apply all mutations, or none.

        Raises Contention if the condition of one does not hold, and Poison, reason UNSTORABLE, if an entity
        can never be stored, for example because of its size: nothing was applied. Raises OutcomeUnknown if
        the database did not answer: all or nothing was applied.
        """

    async def due(self, kind: str, start: str, end: str, limit: int) -> list[tuple[Key, Row]]:
        """Return the first `limit` entities with start <= due < end, in the order of `due`."""

    async def page(self, kind: str, after: str, limit: int) -> list[tuple[Key, Row]]:
        """Return the first `limit` entities of a kind whose names sort after `after`; "": from the first.

        For operator tools: services never read whole kinds.
        """

    async def expire(self, now: float, limit: int) -> int:
        """Delete up to `limit` entities whose EXPIRES_AT was before `now` (seconds since the epoch).

        Returns the number deleted; always 0 if the database does this itself (Datastore's TTL policies).
        """
