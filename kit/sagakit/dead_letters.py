"""Dead letters: messages that can never be applied, unchanged, with the reason."""

from sagakit.bus import Message
from sagakit.events import timestamp

MAX_ATTRIBUTE_BYTES = 1024


def dead_letter(subscription: str, message: Message, reason: str, now: float) -> Message:
    """Return the dead letter of `message`: its data and attributes, and why, where and when it failed.

    The broker's own attributes (`goog…`) are left out: it rejects messages that carry them.
    """
    own = {
        "dead_letter_reason": reason.encode()[:MAX_ATTRIBUTE_BYTES].decode(errors="ignore"),
        "dead_letter_subscription": subscription,
        "dead_letter_time": timestamp(now),
    }
    kept = {name: value for name, value in message.attributes.items() if not name.startswith("goog")}
    return Message(message.data, {**kept, **own})
