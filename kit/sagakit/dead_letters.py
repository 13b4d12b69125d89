"""Dead letters: messages that can never be applied, published to a topic of their own with the reason."""

import structlog

from sagakit.bus import MAX_ATTRIBUTE_BYTES, Bus, Message
from sagakit.errors import Poison
from sagakit.events import timestamp

log = structlog.get_logger()

MAX_REDUCED_BYTES = 64 * 1024
REDUCED_ATTRIBUTE = "dead_letter_reduced"
"""Attribute of a dead letter that holds less than the message did: what it was reduced to."""


async def publish_dead_letter(
    bus: Bus, topic: str, subscription: str, message: Message, reason: str, now: float
) -> Poison:
    """Publish the dead letter of `message`; return the Poison to count.

    If the broker rejects it for good (a message that just fitted is too large with the reason), a reduced
    one is published. If that is rejected too, the log has all that remains: the broker must not redeliver
    a message because it cannot be recorded. Raises Unavailable if the broker cannot be reached.
    """
    letter = dead_letter(subscription, message, reason, now)
    try:
        await bus.publish(topic, [letter])
    except Poison as rejected:
        log.warning("dead letter reduced", reason=reason, error=rejected.reason)
    else:
        return Poison(reason)
    try:
        await bus.publish(topic, [reduced(letter)])
    except Poison as rejected:
        log.error("dead letter rejected", reason=reason, error=rejected.reason, bytes=len(message.data))
        return rejected
    return Poison(reason)


def dead_letter(subscription: str, message: Message, reason: str, now: float) -> Message:
    """Return the dead letter of `message`: its data and attributes, and why, where and when it failed.

    The broker's own attributes (`goog…`) are left out: it rejects messages that carry them.
    """
    own = {
        "dead_letter_reason": _truncated(reason),
        "dead_letter_subscription": subscription,
        "dead_letter_time": timestamp(now),
    }
    kept = {name: value for name, value in message.attributes.items() if not name.startswith("goog")}
    return Message(message.data, {**kept, **own})


def reduced(letter: Message) -> Message:
    """Return a dead letter with what identifies the message, and at most MAX_REDUCED_BYTES of its data."""
    own = ("dead_letter_reason", "dead_letter_subscription", "dead_letter_time")
    names = ("eventid", "type", "ce-id", "ce-source", "ce-type", *own)
    attributes = {name: _truncated(letter.attributes[name]) for name in names if name in letter.attributes}
    data = letter.data[:MAX_REDUCED_BYTES]
    mark = (
        f"{len(data)} of {len(letter.data)} bytes, {len(attributes)} of {len(letter.attributes)} attributes"
    )
    return Message(data, {**attributes, REDUCED_ATTRIBUTE: mark})


def _truncated(text: str) -> str:
    return text.encode(errors="backslashreplace")[:MAX_ATTRIBUTE_BYTES].decode(errors="ignore")
