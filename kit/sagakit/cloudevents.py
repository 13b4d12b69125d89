"""CloudEvents 1.0 in binary mode: an event's attributes beside ours, and the event in theirs.

The names are those of Google's binding for Pub/Sub, prefix `ce-` and the attribute `content-type`:
https://github.com/googleapis/google-cloudevents/blob/main/docs/spec/pubsub.md
"""

from collections.abc import Mapping
from urllib.parse import quote
from uuid import NAMESPACE_URL, UUID, uuid5

from sagakit.errors import Poison

DEFAULT_CONTENT_TYPE = "application/json"
_STRUCTURED = "application/cloudevents"


def to_attributes(eventid: str, type: str, attributes: Mapping[str, str], topic: str) -> dict[str, str]:
    """Return the CloudEvents attributes of an event that is published to `topic`, which is its source.

    `content-type` is the event's own attribute of that name, else JSON.
    """
    found = {
        "ce-specversion": "1.0",
        "ce-id": eventid,
        "ce-source": f"/{quote(topic, safe='')}",
        "ce-type": type,
        "content-type": attributes.get("content-type", DEFAULT_CONTENT_TYPE),
    }
    if "time" in attributes:
        found["ce-time"] = attributes["time"]
    return found


def from_attributes(attributes: Mapping[str, str]) -> dict[str, str]:
    """Return `eventid`, `type` and `time` of a message with CloudEvents attributes; {} if it has none.

    Raises Poison if the whole event is in the body (structured mode), which is not supported.
    """
    if attributes.get("content-type", "").lower().startswith(_STRUCTURED):
        raise Poison("structured-cloudevent")
    if not attributes.get("ce-id"):
        return {}
    own = {"eventid": _eventid(attributes["ce-id"], attributes.get("ce-source", ""))}
    theirs = {"type": "ce-type", "time": "ce-time"}
    return own | {name: attributes[other] for name, other in theirs.items() if other in attributes}


def _eventid(id: str, source: str) -> str:
    """Return an id that is unique for ever: a UUID is, any other id only together with its source."""
    try:
        parsed = UUID(id)
    except ValueError:
        return str(uuid5(NAMESPACE_URL, f"{source} {id}"))
    return id if id.lower() == str(parsed) else str(uuid5(NAMESPACE_URL, f"{source} {id}"))
