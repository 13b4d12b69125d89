"""Dead letters: what is in them and why, putting them back where they failed, dropping them for good."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from contract.topology import subscriptions
from sagakit.bus import Bus, Message, PulledMessage, PullSubscription
from sagakit.events import timestamp

PAGE = 100
MAX_ROWS = 10_000
"""What is looked through at a time."""

REDRIVEN = "redriven"
"""The attribute that counts how often a message was put back."""

_OWN = ("dead_letter_reason", "dead_letter_subscription", "dead_letter_time")
_BROKERS = "CloudPubSubDeadLetter"
_SOURCE = "CloudPubSubDeadLetterSourceSubscription"
_TOO_OFTEN = "delivered too often"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be dealt with."""

    held: PulledMessage

    @property
    def message(self) -> Message:
        return self.held.message

    @property
    def eventid(self) -> str:
        return self.message.attributes.get("eventid", "-")

    @property
    def reason(self) -> str:
        return self.message.attributes.get("dead_letter_reason", _TOO_OFTEN)

    @property
    def subscription(self) -> str:
        """Where it failed."""
        attributes = self.message.attributes
        return attributes.get("dead_letter_subscription") or attributes.get(_SOURCE, "-")

    @property
    def topic(self) -> str | None:
        """Where it came from, unless that is no topic of the suite's."""
        return subscriptions().get(self.subscription)

    @property
    def redriven(self) -> int:
        text = self.message.attributes.get(REDRIVEN, "0")
        return int(text) if text.isdecimal() else 0

    def __str__(self) -> str:
        again = f"  redriven {self.redriven} times" if self.redriven else ""
        return f"{self.eventid}  {self.subscription}  {self.reason}{_about(self.message)}{again}"

    def put_back(self, now: float) -> Message:
        """The message as it first came, marked."""
        kept = {
            name: value
            for name, value in self.message.attributes.items()
            if name not in _OWN and not name.startswith(_BROKERS)
        }
        marks = {REDRIVEN: str(self.redriven + 1), "redriven_time": timestamp(now)}
        return Message(self.message.data, {**kept, **marks})


@dataclass(frozen=True, slots=True)
class Filter:
    """Which letters are meant; what is None does not matter."""

    eventid: str | None = None
    reason: str | None = None
    """Its beginning."""
    subscription: str | None = None

    def __call__(self, letter: DeadLetter) -> bool:
        return (
            self.eventid in {None, letter.eventid}
            and self.subscription in {None, letter.subscription}
            and (self.reason is None or letter.reason.startswith(self.reason))
        )


async def read(subscription: PullSubscription, wanted: Callable[[DeadLetter], bool]) -> list[DeadLetter]:
    """Those that wait and are wanted, the first MAX_ROWS; all of them wait on afterwards."""
    letters = [letter async for letter in _taken(subscription)]
    await subscription.release([letter.held for letter in letters])
    return [letter for letter in letters if wanted(letter)]


async def redrive(
    subscription: PullSubscription, bus: Bus, wanted: Callable[[DeadLetter], bool], now: float
) -> list[DeadLetter]:
    """Publish what is wanted where it came from, again to everybody who listens there: their inboxes know
    what they have applied. Returns what was put back; what has no topic of the suite's stays.
    """
    letters = [letter async for letter in _taken(subscription)]
    chosen = [letter for letter in letters if wanted(letter) and letter.topic is not None]
    for letter in chosen:
        await bus.publish(str(letter.topic), [letter.put_back(now)])
        # Only now: whoever dies in between leaves it here as well, and twice is harmless.
        await subscription.acknowledge([letter.held])
    await subscription.release([letter.held for letter in letters if letter not in chosen])
    return chosen


async def drop(subscription: PullSubscription, wanted: Callable[[DeadLetter], bool]) -> list[DeadLetter]:
    """Remove what is wanted, for good. Returns it."""
    letters = [letter async for letter in _taken(subscription)]
    chosen = [letter for letter in letters if wanted(letter)]
    await subscription.acknowledge([letter.held for letter in chosen])
    await subscription.release([letter.held for letter in letters if letter not in chosen])
    return chosen


def describe(letter: DeadLetter) -> Sequence[str]:
    """All there is to know of a letter."""
    attributes = sorted(letter.message.attributes.items())
    body = letter.message.data.decode(errors="backslashreplace")
    return [str(letter), *(f"  {name}: {value}" for name, value in attributes), f"  {body}"]


async def _taken(subscription: PullSubscription) -> AsyncIterator[DeadLetter]:
    seen = 0
    while seen < MAX_ROWS and (page := await subscription.pull(PAGE)):
        seen += len(page)
        for held in page:
            yield DeadLetter(held)


def _about(message: Message) -> str:
    try:
        body = json.loads(message.data)
        return f"  order {body['orderid']}: {body['status']}"
    except (ValueError, KeyError, TypeError):
        return ""
