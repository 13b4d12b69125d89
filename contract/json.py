"""Convert protobuf messages to the JSON of the wire contract: snake_case, int64 as JSON numbers.

`google.protobuf.json_format` writes int64 as strings, as proto3's JSON mapping requires; the wire contract is
older and has numbers. Fields without presence are always included, `optional` ones only if they are set.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message

JsonView = Mapping[str, "JsonView"]
"""Fields to include, by name, each with the fields to include of its own message (empty for a scalar)."""


def to_json(message: Message, view: JsonView | None = None) -> dict[str, Any]:
    """Return the message as a dict for `json.dumps`: all fields, or those in `view`."""
    return {
        field.name: _value(field, getattr(message, field.name), view and view[field.name])
        for field in message.DESCRIPTOR.fields
        if (view is None or field.name in view) and (not field.has_presence or message.HasField(field.name))
    }


def _value(field: Any, value: Any, view: JsonView | None) -> Any:
    if field.message_type is None:
        return list(value) if field.is_repeated else value
    return [to_json(each, view) for each in value] if field.is_repeated else to_json(value, view)
