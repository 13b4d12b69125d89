"""Store frozen dataclasses as entities: each field as a property, a tuple as a list."""

from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from sagakit.tables import Entity

T = TypeVar("T")
Names = Collection[str]


def to_entity(
    value: Any, *, exclude: Names = (), rename: Mapping[str, str] = {}, omit_none: Names = ()
) -> dict[str, Any]:
    """Return the fields of a dataclass as properties, in their order.

    Leaves out the fields in `exclude`, such as the entity's own name. `rename`: field → stored property.
    `omit_none`: fields of it and of the dataclasses in its tuples that are left out if they are None.
    """
    entity = {}
    for name in _fields(value.__class__):
        found = getattr(value, name)
        if isinstance(found, tuple):
            found = [to_entity(each, omit_none=omit_none) if is_dataclass(each) else each for each in found]
        if name not in exclude and not (found is None and name in omit_none):
            entity[rename.get(name, name)] = found
    return entity


def from_entity(cls: type[T], entity: Entity, *, rename: Mapping[str, str] = {}, **given: Any) -> T:
    """Return the dataclass that `to_entity` stored, with the values of fields that are `given`.

    Ignores unknown properties. A field that is not stored has its default. Raises LookupError if it has none.
    """
    values, kind = given, cast("Any", cls)
    for name, (element, is_required) in _fields(kind).items():
        stored = rename.get(name, name)
        if name in given or (stored not in entity and not is_required):
            continue
        if stored not in entity:
            raise LookupError(f"{cls.__name__}.{name}: the entity has no property {stored!r}")
        value = entity[stored]
        if is_dataclass(element):
            value = (from_entity(cast("type[Any]", element), each) for each in value)
        values[name] = value if element is None else tuple(value)
    return cls(**values)


@cache
def _fields(cls: type) -> dict[str, tuple[Any, bool]]:
    """Return by name the type of a tuple's elements (None: no tuple), and whether the field is required."""
    hints = get_type_hints(cls)
    tuples = {name: get_args(hint)[0] for name, hint in hints.items() if get_origin(hint) is tuple}
    return {each.name: (tuples.get(each.name), each.default is MISSING) for each in fields(cls)}
