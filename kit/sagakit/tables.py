"""The seam to the database: versioned entities found by key, and atomic commits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

DUE = "due"
"""The one property that has an index, where an entity has it; every other is stored unindexed."""

EXPIRES_AT = "expires_at"
"""When an entity may be deleted (a datetime), where it has that: the property TTL policies name."""

Entity = Mapping[str, Any]
"""Properties: text, bytes, int, float, bool, None, aware datetime, and lists and dicts of these.

A list holds no list directly, and all of it takes less than a mebibyte.
"""


class Key(NamedTuple):
    """What an entity is found by."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Row:
    """An entity as it was read; `version` changes with every write that changes the entity."""

    entity: Entity
    version: int


@dataclass(frozen=True, slots=True)
class Insert:
    """Contention unless there is no such entity."""

    key: Key
    entity: Entity


@dataclass(frozen=True, slots=True)
class Update:
    """Contention unless the entity is there in this very version."""

    key: Key
    entity: Entity
    version: int


@dataclass(frozen=True, slots=True)
class Delete:
    """The entity is gone afterwards, whether or not it was there."""

    key: Key


Mutation = Insert | Update | Delete

MAX_MUTATIONS = 25
"""Mutations that every backend takes in a commit: the Datastore emulator's limit, the others take 500."""


class Tables(Protocol):
    """A database. Every method raises Unavailable where it is away."""

    async def lookup(self, keys: Sequence[Key]) -> dict[Key, Row]:
        """Those of the entities that are there, each as of its latest commit."""

    async def commit(self, mutations: Sequence[Mutation]) -> None:
        """Apply all of it or nothing. Contention: nothing; OutcomeUnknown: either.

        Poison: nothing, and never will: an entity is no such thing as can be stored.
        """

    async def due(self, kind: str, start: str, end: str, limit: int) -> list[tuple[Key, Row]]:
        """Entities with start <= due < end, in the order of `due`, the first `limit` of them."""

    async def page(self, kind: str, after: str, limit: int) -> list[tuple[Key, Row]]:
        """The first `limit` entities of a kind, in an order of their names, that come after one called so.

        After "": from the beginning. For operator's tools: no service asks for whole kinds.
        """

    async def expire(self, now: float, limit: int) -> int:
        """Remove up to `limit` entities whose EXPIRES_AT was before `now` (seconds since the epoch).

        Returns how many; always 0 where the database does so by itself, as Datastore's TTL policies do.
        """
