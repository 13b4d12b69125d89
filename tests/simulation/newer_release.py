"""A newer release beside the simulated one: it stores properties that this version does not know.

They are in every entity and in every value nested in one; this version must keep them when it rewrites it.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from sagakit.tables import Entity

PROPERTY = "of_a_newer_release"
_numbers = itertools.count()


def with_unknown_properties(entity: Entity) -> dict[str, Any]:
    """Return the entity with a property that this version does not know, at every depth."""
    return {PROPERTY: str(next(_numbers)), **{name: _extended(value) for name, value in entity.items()}}


def _extended(value: Any) -> Any:
    if isinstance(value, Mapping):
        return with_unknown_properties(value)
    if isinstance(value, list | tuple):
        return [_extended(each) for each in value]
    return value


def lost_properties(before: Entity, after: Entity) -> int:
    """Return how many of the unknown properties in `before` are missing in `after`."""
    return len({*_found(before)} - {*_found(after)})


def _found(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from (each for name, each in value.items() if name == PROPERTY)
        value = value.values()
    if not isinstance(value, str | bytes | int | float | None):
        for each in value if hasattr(value, "__iter__") else ():
            yield from _found(each)
