"""Dead letters: events that can never be dealt with, as they came, and why."""

from sagakit.bus import Message
from sagakit.events import timestamp

MAX_ATTRIBUTE_BYTES = 1024


def dead_letter(subscription: str, message: Message, reason: str, now: float) -> Message:
    """The message that says so. What the broker itself put in is left out."""
    own = {
        "dead_letter_reason": reason.encode()[:MAX_ATTRIBUTE_BYTES].decode(errors="ignore"),
        "dead_letter_subscription": subscription,
        "dead_letter_time": timestamp(now),
    }
    kept = {name: value for name, value in message.attributes.items() if not name.startswith("goog")}
    return Message(message.data, {**kept, **own})
