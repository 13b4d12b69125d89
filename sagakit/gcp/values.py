"""Entities as Datastore's protobufs, built plainly: proto-plus objects cost about as much as the call."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from google.cloud.datastore_v1 import types
from google.protobuf.timestamp_pb2 import Timestamp

from sagakit.tables import INDEXED, Entity, Key

EntityPb: Any = types.Entity.pb()
KeyPb: Any = types.Key.pb()
ValuePb: Any = types.Value.pb()


def to_key(partition: Any, key: Key) -> Any:
    # Datastore keeps names like __this__ for itself; ids that come from outside may look so.
    name = f"~{key.name}" if _looks_reserved(key.name) else key.name
    return KeyPb(partition_id=partition, path=[KeyPb.PathElement(kind=key.kind, name=name)])


def from_key(key: Any) -> Key:
    path = key.path[-1]
    return Key(path.kind, path.name[1:] if _looks_reserved(path.name) else path.name)


def _looks_reserved(name: str) -> bool:
    """So with any number of tildes before it: what is escaped is not taken for another name."""
    return name.lstrip("~").startswith("__")


def to_entity(key: Any, entity: Entity) -> Any:
    """Everything unindexed but the one property that has an index."""
    properties = {name: _value(value, name != INDEXED) for name, value in entity.items()}
    return EntityPb(key=key, properties=properties)


def from_entity(entity: Any) -> dict[str, Any]:
    return {name: _from_value(value) for name, value in entity.properties.items()}


def _value(value: Any, unindexed: bool = True) -> Any:
    match value:
        case None:
            return ValuePb(null_value=0, exclude_from_indexes=unindexed)
        case bool():
            return ValuePb(boolean_value=value, exclude_from_indexes=unindexed)
        case int():
            return ValuePb(integer_value=value, exclude_from_indexes=unindexed)
        case float():
            return ValuePb(double_value=value, exclude_from_indexes=unindexed)
        case str():
            return ValuePb(string_value=value, exclude_from_indexes=unindexed)
        case bytes():
            return ValuePb(blob_value=value, exclude_from_indexes=unindexed)
        case datetime():
            return ValuePb(timestamp_value=_timestamp(value), exclude_from_indexes=unindexed)
        case Mapping():
            properties = {name: _value(each) for name, each in value.items()}
            return ValuePb(entity_value=EntityPb(properties=properties), exclude_from_indexes=unindexed)
        case list() | tuple():
            # Datastore wants the exclusion on an array's members, not on the array.
            return ValuePb(array_value={"values": [_value(each) for each in value]})
    raise TypeError(f"{type(value).__name__} cannot be stored")


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


def _timestamp(value: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(value)
    return timestamp
