"""Entities as plain protobufs of Datastore: proto-plus objects cost about as much CPU as the call."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from google.cloud.datastore_v1 import types

from sagakit.tables import DUE, Entity, Key, check_name

KeyPb: Any = types.Key.pb()


def to_key(partition: Any, key: Key) -> Any:
    # Datastore reserves names such as __this__; ids from clients may look like that.
    name = f"~{key.name}" if _looks_reserved(key.name) else key.name
    check_name(name)
    return KeyPb(partition_id=partition, path=[KeyPb.PathElement(kind=key.kind, name=name)])


def from_key(key: Any) -> Key:
    path = key.path[-1]
    return Key(path.kind, path.name[1:] if _looks_reserved(path.name) else path.name)


def _looks_reserved(name: str) -> bool:
    """Whether the name must be escaped; ignores leading tildes, so that escaped names stay distinct."""
    return name.lstrip("~").startswith("__")


def fill(pb: Any, entity: Entity) -> None:
    """Set the properties of an entity in place, all but `due` unindexed.

    Protobuf would copy messages that are built apart.
    """
    properties = pb.properties
    for name, value in entity.items():
        _set(properties[name], value, name != DUE)


def from_entity(entity: Any) -> dict[str, Any]:
    return {name: _from_value(value) for name, value in entity.properties.items()}


def _set(pb: Any, value: Any, unindexed: bool = True) -> None:
    match value:
        case None:
            pb.null_value = 0
        case bool():
            pb.boolean_value = value
        case int():
            pb.integer_value = value
        case float():
            pb.double_value = value
        case str():
            pb.string_value = value
        case bytes():
            pb.blob_value = value
        case datetime():
            pb.timestamp_value.FromDatetime(value)
        case Mapping():
            pb.entity_value.SetInParent()  # also if it is empty
            for name, each in value.items():
                _set(pb.entity_value.properties[name], each)
        case list() | tuple():
            pb.array_value.SetInParent()
            for each in value:
                _set(pb.array_value.values.add(), each)
            # Datastore expects the exclusion on the array's members, not on the array.
            return
        case _:
            raise TypeError(f"{type(value).__name__} cannot be stored")
    pb.exclude_from_indexes = unindexed


def _from_value(value: Any) -> Any:
    kind = value.WhichOneof("value_type")
    match kind:
        case "entity_value":
            return from_entity(value.entity_value)
        case "array_value":
            return [_from_value(each) for each in value.array_value.values]
        case "timestamp_value":
            return value.timestamp_value.ToDatetime(UTC)
        case "null_value" | None:
            return None
    return getattr(value, kind)
