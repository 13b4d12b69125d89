"""The AsyncAPI 3 document of an application: channels, messages and operations, from its declarations.

https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sagakit.bus import subscription_name
from sagakit.events import EVENTID_MAX_LENGTH
from sagakit.topology import ServiceDeclaration, Topology

VERSION = "3.0.0"
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
    content_type: str = "application/json"
    correlation: str = ""
    """JSON pointer to the field of the body that identifies the saga, such as `/orderid`; "": none."""
    examples: Sequence[Mapping[str, Any]] = ()
    """Payloads."""


def document(
    topology: Topology,
    events: Mapping[str, Sequence[EventDescription]],
    info: Mapping[str, Any],
    schemas: Mapping[str, Any] | None = None,
) -> Json:
    """Return the document; every service's events are named by the service that publishes them.

    `info` has at least `title` and `version`; `schemas` are those that payloads refer to as
    `#/components/schemas/…`. Raises ValueError for the events of a service that publishes nothing.
    """
    for service in events:
        if service not in topology.topics:
            raise ValueError(f"{service} publishes nothing")
    messages = {
        _message_name(service, event): _message(event)
        for service, described in events.items()
        for event in described
    }
    return {
        "asyncapi": VERSION,
        "info": dict(info),
        "defaultContentType": "application/json",
        "servers": {"pubsub": {"host": "pubsub.googleapis.com", "protocol": "googlepubsub"}},
        "channels": _channels(topology, events),
        "operations": {
            name: operation
            for service in topology.services
            for name, operation in _operations(topology, service)
        },
        "components": {
            "messages": {**messages, "deadLetter": _dead_letter()},
            "schemas": {"EventHeaders": _HEADERS, **(schemas or {})},
        },
    }


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
