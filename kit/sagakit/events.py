"""The event envelope: what every message between services carries, whatever it is about."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sagakit.bus import Message
from sagakit.errors import Poison

EVENTID_MAX_LENGTH = 128


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `eventid` names it for ever: whoever has applied it ignores it afterwards."""

    eventid: str
    type: str
    body: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)
    """What else travels with it: `time`, `again`, `traceparent`, and whatever a publisher added."""
    about: str = ""
    """What it is about (an orderid), for whoever traces it; it does not travel."""

    def to_message(self) -> Message:
        return Message(self.body, {**self.attributes, "eventid": self.eventid, "type": self.type})

    @classmethod
    def from_message(cls, message: Message) -> "Event":
        """The event in `message`; Poison where it has no usable eventid."""
        attributes = dict(message.attributes)
        eventid = attributes.pop("eventid", "")
        if not eventid:
            raise Poison("no-eventid")
        if len(eventid) > EVENTID_MAX_LENGTH or not eventid.isprintable():
            raise Poison("malformed-eventid")
        return cls(eventid, attributes.pop("type", ""), message.data, attributes)


def timestamp(now: float) -> str:
    """Seconds since the epoch as the text of the `time` attribute (RFC 3339, UTC, milliseconds)."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def published_at(attributes: Mapping[str, str]) -> float | None:
    """Seconds since the epoch from the `time` attribute; None: there is none, or it is no such time."""
    try:
        said = datetime.fromisoformat(attributes["time"])
    except (KeyError, ValueError):
        return None
    return None if said.tzinfo is None else said.timestamp()
