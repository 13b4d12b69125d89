"""Protobuf messages as the JSON of the wire contract: snake_case, and int64 as JSON numbers.

`google.protobuf.json_format` writes int64 as strings, as proto3's own JSON mapping wants; the wire
contract is older and has numbers. Fields without presence are always shown, `optional` ones where set.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message

Shown = Mapping[str, "Shown"]
"""Names of fields, each with those of the message in it; of what is no message none."""


def to_json(message: Message, shown: Shown | None = None) -> dict[str, Any]:
    """The message as a dict that `json.dumps` takes: all of it, or the fields that are to be shown."""
    return {
        field.name: _value(field, getattr(message, field.name), shown and shown[field.name])
        for field in message.DESCRIPTOR.fields
        if (shown is None or field.name in shown) and (not field.has_presence or message.HasField(field.name))
    }


def _value(field: Any, value: Any, shown: Shown | None) -> Any:
    if field.message_type is None:
        return list(value) if field.is_repeated else value
    return [to_json(each, shown) for each in value] if field.is_repeated else to_json(value, shown)
