"""The AsyncAPI 3 document of an application: channels, messages and operations, from its declarations.

https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from sagakit.bus import subscription_name
from sagakit.event_types import VERSION_ATTRIBUTE, EventType
from sagakit.events import EVENTID_MAX_LENGTH, REMINDER_ATTRIBUTE
from sagakit.topology import ServiceDeclaration, Topology

VERSION = "3.0.0"
JSON = "application/json"
Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_HEADERS: Json = {
    "type": "object",
    "description": (
        "A receiver needs eventid and type, or ce-id and ce-type. Those of CloudEvents (ce-…, content-type) "
        "are published by services with EVENT_CLOUDEVENTS=true."
    ),
    "required": ["eventid", "type"],
    "properties": {
        "eventid": {
            **_TEXT,
            "maxLength": EVENTID_MAX_LENGTH,
            "description": "Unique for ever: receivers ignore an event with an id that they have applied.",
        },
        "type": {**_TEXT, "description": "Selects the handler."},
        "time": {**_TEXT, "format": "date-time", "description": "When it was published."},
        "traceparent": {**_TEXT, "description": "W3C Trace Context of its publisher."},
        "content-type": {**_TEXT, "description": "Media type of the payload."},
        "ce-specversion": {"const": "1.0", "description": "Version of CloudEvents."},
        "ce-id": {**_TEXT, "description": "As eventid."},
        "ce-source": {**_TEXT, "format": "uri-reference", "description": "`/<topic>`"},
        "ce-type": {**_TEXT, "description": "As type."},
        "ce-time": {**_TEXT, "format": "date-time", "description": "As time."},
    },
}
_DEAD_LETTER_HEADERS: Json = {
    "type": "object",
    "required": ["dead_letter_reason", "dead_letter_subscription", "dead_letter_time"],
    "properties": {
        "dead_letter_reason": {**_TEXT, "description": "Why; what precedes a colon is stable."},
        "dead_letter_subscription": {**_TEXT, "description": "Where its service received it."},
        "dead_letter_time": {**_TEXT, "format": "date-time", "description": "When it failed."},
        "dead_letter_reduced": {**_TEXT, "description": "If it was too large: to what it was cut."},
    },
}


@dataclass(frozen=True, slots=True)
class EventDescription:
    """A type of events that a service publishes."""

    type: str
    title: str
    payload: Mapping[str, Any]
    """JSON Schema of the body."""
    headers: Mapping[str, Any] = field(default_factory=dict)
    """JSON Schemas of attributes beside the kit's own, by name."""
    content_type: str = JSON
    correlation: str = ""
    """JSON pointer to the field of the body that identifies the saga, such as `/orderid`; "": none."""
    examples: Sequence[Mapping[str, Any]] = ()
    """Payloads."""
    schemas: Mapping[str, Any] = field(default_factory=dict)
    """JSON Schemas that the payload refers to as `#/components/schemas/…`, by name."""


def describe(event_type: EventType[Any]) -> EventDescription:
    """Return the description of an event type: its payload is the JSON Schema of its model.

    A body that is not JSON is described by its content type alone, a protobuf message also by its name.
    """
    headers: Json = {REMINDER_ATTRIBUTE: {"const": "true", "description": "Marks a reminder."}}
    headers |= {name: {**_TEXT, "description": "As in the payload."} for name in event_type.attributes}
    if event_type.version > 1:
        headers[VERSION_ATTRIBUTE] = {"const": str(event_type.version)}
    content_type = event_type.content_type
    if event_type.codec is not None or content_type:
        message = getattr(event_type.model, "DESCRIPTOR", None)
        body = {} if message is None else {"description": f"The protobuf message {message.full_name}."}
        return EventDescription(event_type.name, event_type.name, body, headers, content_type or JSON)
    payload: Json = TypeAdapter(event_type.model).json_schema(ref_template="#/components/schemas/{model}")
    schemas: Json = payload.pop("$defs", {})
    return EventDescription(event_type.name, event_type.name, payload, headers, schemas=schemas)


def document(
    topology: Topology,
    events: Mapping[str, Sequence[EventDescription | EventType[Any]]],
    info: Mapping[str, Any],
) -> Json:
    """Return the document. `events` are by the service that publishes them; `info` has `title` and `version`.

    Raises ValueError for the events of a service that publishes nothing, and for two schemas of one name.
    """
    described = {
        service: [describe(each) if isinstance(each, EventType) else each for each in published]
        for service, published in events.items()
    }
    for service in described:
        if service not in topology.topics:
            raise ValueError(f"{service} publishes nothing")
    messages = {
        _message_name(service, event): _message(event)
        for service, published in described.items()
        for event in published
    }
    return {
        "asyncapi": VERSION,
        "info": dict(info),
        "defaultContentType": JSON,
        "servers": {"pubsub": {"host": "pubsub.googleapis.com", "protocol": "googlepubsub"}},
        "channels": _channels(topology, described),
        "operations": {
            name: operation
            for service in topology.services
            for name, operation in _operations(topology, service)
        },
        "components": {
            "messages": {**messages, "deadLetter": _dead_letter()},
            "schemas": _schemas(described),
        },
    }


def _schemas(events: Mapping[str, Sequence[EventDescription]]) -> Json:
    found: Json = {"EventHeaders": _HEADERS}
    for name, schema in (
        each for published in events.values() for event in published for each in event.schemas.items()
    ):
        if found.setdefault(name, schema) != schema:
            raise ValueError(f"two schemas are named {name!r}")
    return found


def _message_name(service: str, event: EventDescription) -> str:
    return f"{service}.{event.type}"


def _ref(*path: str) -> Json:
    return {"$ref": "#/" + "/".join(path)}


def _channels(topology: Topology, events: Mapping[str, Sequence[EventDescription]]) -> Json:
    channels: Json = {
        service: {
            "address": topic,
            "title": f"Events of {service}",
            "messages": {
                event.type: _ref("components", "messages", _message_name(service, event))
                for event in events.get(service, ())
            },
        }
        for service, topic in topology.topics.items()
    }
    foreign: Json = {
        name: {"address": topic, "title": "Events of others"}
        for name, topic in topology.foreign_topics.items()
    }
    dead_letters = {
        "address": topology.dead_letter_topic,
        "title": "Dead letters",
        "description": f"Kept in the subscription `{topology.dead_letter_subscription}` for operators.",
        "messages": {"deadLetter": _ref("components", "messages", "deadLetter")},
    }
    return {**channels, **foreign, "dead-letter": dead_letters}


def _operations(topology: Topology, service: ServiceDeclaration) -> list[tuple[str, Json]]:
    tags = [{"name": service.name}]
    found: list[tuple[str, Json]] = []
    if service.topic is not None:
        found.append(
            (
                f"{service.name}.publish",
                {"action": "send", "channel": _ref("channels", service.name), "tags": tags},
            )
        )
    sources = {**topology.topics, **topology.foreign_topics}
    for publisher in service.subscribes_to:
        subscription = subscription_name(service.name, sources[publisher])
        operation = {
            "action": "receive",
            "channel": _ref("channels", publisher),
            "description": f"Through the subscription `{subscription}`, which its replicas share.",
            "tags": tags,
        }
        found.append((f"{service.name}.receive.{publisher}", operation))
    if service.subscribes_to:
        operation = {
            "action": "send",
            "channel": _ref("channels", "dead-letter"),
            "description": "What it can never apply, as it was received, with the reason.",
            "tags": tags,
        }
        found.append((f"{service.name}.dead-letter", operation))
    return found


def _message(event: EventDescription) -> Json:
    own = {"properties": {"type": {"const": event.type}, **event.headers}}
    correlation = {"correlationId": {"location": f"$message.payload#{event.correlation}"}}
    return {
        "name": event.type,
        "title": event.title,
        "contentType": event.content_type,
        "headers": {"allOf": [_ref("components", "schemas", "EventHeaders"), own]},
        "payload": dict(event.payload),
        **(correlation if event.correlation else {}),
        "bindings": {"googlepubsub": {"bindingVersion": "0.2.0", "attributes": {"type": event.type}}},
        "examples": [{"payload": dict(payload)} for payload in event.examples],
    }


def _dead_letter() -> Json:
    return {
        "name": "deadLetter",
        "title": "A message that can never be applied, with its own attributes and payload",
        "headers": _DEAD_LETTER_HEADERS,
        "payload": {},
    }
