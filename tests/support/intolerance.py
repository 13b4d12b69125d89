"""Bugs to plant that only show beside a newer release: what it wrote cannot be read, or is erased."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from types import ModuleType
from typing import Any
from unittest.mock import patch

from sagakit import codec
from services.delivery import storage as delivery
from services.payment import simulated as provider
from services.payment import storage as payment
from services.purchase import storage as purchase
from services.stock import storage as stock

STORAGES = (purchase, stock, payment, provider, delivery)
Plant = Callable[..., ExitStack]


def reads_by_keyword(*storages: ModuleType) -> ExitStack:
    """Fail in `storages`, by default in all, on a property that is no field, as `Item(**entity)` does."""

    def from_entity(cls: type[Any], entity: Mapping[str, Any], **how: Any) -> Any:
        value = codec.from_entity(cls, entity, **how)
        for name in _unknown(value):
            raise TypeError(f"{cls.__name__}() got an unexpected keyword argument {name!r}")
        return value

    return _patched(storages, "from_entity", from_entity)


def drops_unknown_fields(*storages: ModuleType) -> ExitStack:
    """Erase in `storages`, by default in all, whatever is no field whenever an entity is rewritten."""

    def to_entity(value: Any, **how: Any) -> Any:
        return codec.to_entity(value, **how, omit_unknown=True)

    return _patched(storages, "to_entity", to_entity)


def drops_nested_unknown_fields(*storages: ModuleType) -> ExitStack:
    """Erase them in the values nested in an entity only."""

    def to_entity(value: Any, **how: Any) -> Any:
        return codec.to_entity(value, **how, omit_unknown=True) | (value.unknown or {})

    return _patched(storages, "to_entity", to_entity)


BUGS: Mapping[str, Plant] = {
    each.__name__.replace("_", "-"): each
    for each in (reads_by_keyword, drops_unknown_fields, drops_nested_unknown_fields)
}


def _patched(storages: tuple[ModuleType, ...], name: str, function: Callable[..., Any]) -> ExitStack:
    stack = ExitStack()
    for storage in storages or STORAGES:
        stack.enter_context(patch.object(storage, name, function))
    return stack


def _unknown(value: Any) -> Iterator[str]:
    if isinstance(value, tuple):
        for each in value:
            yield from _unknown(each)
    elif isinstance(value, codec.Stored):
        yield from value.unknown or ()
        for name in value.__dataclass_fields__.keys() - {"unknown"}:
            yield from _unknown(getattr(value, name))
