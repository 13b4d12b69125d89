"""Store frozen dataclasses as entities: each field as a property, a tuple as a list."""

from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cache, partial
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from sagakit.errors import Poison
from sagakit.tables import DUE, EXPIRES_AT, TRACEPARENT, UNREADABLE, Entity

T = TypeVar("T")
Names = Collection[str]

_NOT_OF_THE_VALUE = frozenset({DUE, EXPIRES_AT, TRACEPARENT})
"""Properties of an entity that the kit writes anew with each version of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A stored value, with the properties of it that only newer versions know.

    While a release is rolled out, older processes rewrite what newer ones have stored. A value that is made
    from another by `dataclasses.replace` keeps what it does not know; so do those nested in it.
    """

    unknown: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    """The stored properties that are no fields of the value; None if there are none."""


def to_entity(
    value: Any,
    *,
    exclude: Names = (),
    rename: Mapping[str, str] = {},
    omit_none: Names = (),
    omit_unknown: bool = False,
) -> dict[str, Any]:
    """Return the fields of a dataclass as properties, in their order, and then what is unknown (`Stored`).

    Leaves out the fields in `exclude`, such as the entity's own name. `rename`: field → stored property.
    `omit_none`: fields of it and of the dataclasses in its tuples that are left out if they are None.
    """
    entity, nested = {}, partial(to_entity, omit_none=omit_none, omit_unknown=omit_unknown)
    for name in _fields(value.__class__):
        found = getattr(value, name)
        if isinstance(found, tuple):
            found = [nested(each) if is_dataclass(each) else each for each in found]
        if name not in exclude and not (found is None and name in omit_none):
            entity[rename.get(name, name)] = found
    if isinstance(value, Stored) and value.unknown and not omit_unknown:
        entity |= value.unknown
    return entity


def from_entity(cls: type[T], entity: Entity, *, rename: Mapping[str, str] = {}, **given: Any) -> T:
    """Return the dataclass that `to_entity` stored, with the values of fields that are `given`.

    Properties that are no fields are ignored, or kept in `Stored.unknown`. A field that is not stored has its
    default. Raises Poison, naming class, field and reason, if the entity is corrupt: it lacks a property
    without a default, or has one of another type.
    """
    values, kind = dict(given), cast("Any", cls)
    if not isinstance(entity, Mapping) or UNREADABLE in entity:
        why = entity[UNREADABLE] if isinstance(entity, Mapping) else f"its type is {type(entity).__name__}"
        raise _corrupt(cls, "", why)
    for name, about in _fields(kind).items():
        stored = rename.get(name, name)
        if name in given or (stored not in entity and not about.is_required):
            continue
        if stored not in entity:
            raise _corrupt(cls, name, f"the entity has no property {stored!r}")
        value = entity[stored]
        _check_type(cls, name, value, about.types)
        if about.element is not None:
            value = tuple(_element(cls, name, each, about.element) for each in value)
        values[name] = value
    known = _stored_names(kind, *rename.items())
    if issubclass(cls, Stored) and not (known.issuperset(entity) and given.keys().isdisjoint(entity)):
        # A property that is named as a given field is not the field's.
        values["unknown"] = {
            name: value for name, value in entity.items() if name in given or name not in known
        }
    return cls(**values)


@cache
def _stored_names(cls: type, *rename: tuple[str, str]) -> frozenset[str]:
    stored = dict(rename)
    return frozenset(stored.get(name, name) for name in _fields(cls)) | _NOT_OF_THE_VALUE


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
        if not (issubclass(cls, Stored) and each.name == "unknown")
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
