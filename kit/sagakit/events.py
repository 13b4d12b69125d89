"""The event envelope: id, type, body and attributes, and its form as a message."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sagakit import cloudevents
from sagakit.bus import Message
from sagakit.errors import Poison

EVENTID_MAX_LENGTH = 128
REMINDER_ATTRIBUTE = "again"
"""Event attribute marking a reminder: the receiver should resend its reply."""


@dataclass(frozen=True, slots=True)
class Event:
    """A published fact. `eventid` is unique for ever: a receiver that has applied it ignores duplicates."""

    eventid: str
    type: str
    """Name of the fact, for example `parcel.Sent`: selects the handler. Unknown types are ignored."""
    body: bytes
    """The message's data, in whatever encoding the publisher and the receivers agreed on."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Further attributes of the message: `time`, `again`, `traceparent`, and those of the publisher."""
    about: Mapping[str, str] = field(default_factory=dict)
    """Ids of its subject, as attributes of its spans, for example `{"parcelid": …}`; not published."""
    topic: str = ""
    """The topic it was received from, which tells who published it; empty for an event of one's own."""

    def to_message(self, *, cloudevents_topic: str = "") -> Message:
        """Return the message that is published: the body, and everything else as attributes.

        With the topic that it is published to, it has CloudEvents attributes too (`sagakit.cloudevents`).
        """
        ours = {**self.attributes, "eventid": self.eventid, "type": self.type}
        if cloudevents_topic:
            ours |= cloudevents.to_attributes(self.eventid, self.type, self.attributes, cloudevents_topic)
        return Message(self.body, ours)

    @classmethod
    def from_message(cls, message: Message, topic: str = "") -> "Event":
        """Return the event in `message`, which was received from `topic`; it may be a CloudEvent.

        Raises Poison if its eventid is missing or malformed.
        """
        attributes = dict(message.attributes)
        if not attributes.get("eventid"):
            attributes.pop("eventid", None)
            attributes = {**cloudevents.from_attributes(attributes), **attributes}
        eventid = attributes.pop("eventid", "")
        if not eventid:
            raise Poison("no-eventid")
        if len(eventid) > EVENTID_MAX_LENGTH or not eventid.isprintable():
            raise Poison("malformed-eventid")
        return cls(eventid, attributes.pop("type", ""), message.data, attributes, topic=topic)


def eventid_of(message: Message) -> str:
    """Return the id by which duplicates of a message are recognized, unchecked; "" if it has none."""
    with suppress(Poison):
        return message.attributes.get("eventid") or cloudevents.from_attributes(message.attributes).get(
            "eventid", ""
        )
    return ""


def timestamp(now: float) -> str:
    """Format seconds since the epoch for the `time` attribute (RFC 3339, UTC, milliseconds)."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def published_at(attributes: Mapping[str, str]) -> float | None:
    """Return the `time` attribute in seconds since the epoch; None if it is missing or malformed.

    Without it, `ce-time` counts, which a CloudEvent has.
    """
    try:
        published = datetime.fromisoformat(attributes.get("time") or attributes["ce-time"])
    except (KeyError, ValueError, TypeError):
        return None
    return None if published.tzinfo is None else published.timestamp()
