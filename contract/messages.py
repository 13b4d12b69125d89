"""Convert dataclasses to protobuf messages, and these to the JSON of the wire contract."""

from typing import Any, TypeVar

from google.protobuf.message import Message

from sagakit.events import timestamp

M = TypeVar("M", bound=Message)
_TIMES = {"time", "settled_time"}


def to_message(kind: type[M], source: object, **given: Any) -> M:
    """Return a message whose fields are `given`, or else the attributes of `source` with the same names.

    None is left unset. Times (seconds since the epoch) become RFC 3339.
    """
    return kind(**_attributes(kind.DESCRIPTOR, source, given))


def to_json(message: Message) -> dict[str, Any]:
    """Return the message as a dict for `json.dumps`: names in snake_case, int64 as JSON numbers.

    `google.protobuf.json_format` writes int64 as strings, as proto3's JSON mapping requires; the wire
    contract is older. Fields without presence are always included, `optional` ones only if they are set.
    """
    return {
        field.name: _to_json(field, getattr(message, field.name))
        for field in message.DESCRIPTOR.fields
        if not field.has_presence or message.HasField(field.name)
    }


def _attributes(descriptor: Any, source: object, given: dict[str, Any]) -> dict[str, Any]:
    names = {field.name: field.message_type for field in descriptor.fields if field.name not in given}
    return given | {name: _attribute(name, of, getattr(source, name)) for name, of in names.items()}


def _attribute(name: str, message_type: Any, value: Any) -> Any:
    if message_type is not None:
        return [_attributes(message_type, each, {}) for each in value]
    return timestamp(value) if name in _TIMES and value is not None else value


def _to_json(field: Any, value: Any) -> Any:
    if field.message_type is None:
        return list(value) if field.is_repeated else value
    return [to_json(each) for each in value] if field.is_repeated else to_json(value)
