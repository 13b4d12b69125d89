"""Store frozen dataclasses as entities: each field as a property, a tuple as a list."""

from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from sagakit.errors import Poison
from sagakit.tables import UNREADABLE, Entity

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

    Ignores unknown properties. A field that is not stored has its default. Raises Poison, naming class, field
    and reason, if the entity is corrupt: it lacks a property without a default, or has one of another type.
    """
    values, kind = given, cast("Any", cls)
    if not isinstance(entity, Mapping) or UNREADABLE in entity:
        why = entity[UNREADABLE] if isinstance(entity, Mapping) else f"its type is {type(entity).__name__}"
        raise _corrupt(cls, "", why)
    for name, field in _fields(kind).items():
        stored = rename.get(name, name)
        if name in given or (stored not in entity and not field.is_required):
            continue
        if stored not in entity:
            raise _corrupt(cls, name, f"the entity has no property {stored!r}")
        value = entity[stored]
        _check_type(cls, name, value, field.types)
        if field.element is not None:
            value = tuple(_element(cls, name, each, field.element) for each in value)
        values[name] = value
    return cls(**values)


def _element(cls: type, name: str, value: Any, element: Any) -> Any:
    if is_dataclass(element):
        return from_entity(cast("type[Any]", element), value)
    _check_type(cls, name, value, _types(element))
    return value


def _check_type(cls: type, name: str, value: Any, types: tuple[type, ...]) -> None:
    # To Python a bool is an int.
    if not isinstance(value, types) or (value.__class__ is bool and not {bool, object} & set(types)):
        raise _corrupt(cls, name, f"its type is {type(value).__name__}")


def _corrupt(cls: type, name: str, why: str) -> Poison:
    return Poison(f"corrupt-entity: {cls.__name__}{name and '.'}{name}: {why}")


@dataclass(frozen=True, slots=True)
class _Field:
    is_required: bool
    types: tuple[type, ...]
    """Of its stored value; `object` accepts any."""
    element: Any
    """Type of a tuple's elements; None: it is no tuple."""


@cache
def _fields(cls: type) -> dict[str, _Field]:
    hints = get_type_hints(cls)
    return {
        each.name: _Field(
            each.default is each.default_factory is MISSING,
            _types(hints[each.name]),
            _element_type(hints[each.name]),
        )
        for each in fields(cls)
    }


def _element_type(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is tuple else None


@cache
def _types(hint: Any) -> tuple[type, ...]:
    if get_origin(hint) in {Union, UnionType}:
        return tuple(each for part in get_args(hint) for each in _types(part))
    if get_origin(hint) is tuple:
        return (list, tuple)
    return {float: (float, int), int: (int,), str: (str,), bool: (bool,), NoneType: (NoneType,)}.get(
        hint, (object,)
    )
