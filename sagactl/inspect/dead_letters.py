"""Dead letters: listed with their reasons, published again (redriven), or removed."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contract.topology import subscriptions
from sagakit.bus import Bus, Message, PulledMessage, PullSubscription
from sagakit.events import timestamp

PAGE = 100
MAX_ROWS = 10_000
"""Dead letters examined by one command."""

REDRIVEN = "redriven"
"""Attribute with the number of times a message was redriven."""

_OWN = ("dead_letter_reason", "dead_letter_subscription", "dead_letter_time")
_BROKER_PREFIX = "CloudPubSubDeadLetter"
_BROKER_SOURCE = "CloudPubSubDeadLetterSourceSubscription"
_TOO_MANY_ATTEMPTS = "delivered too often"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be applied."""

    pulled: PulledMessage

    @property
    def message(self) -> Message:
        return self.pulled.message

    @property
    def eventid(self) -> str:
        return self.message.attributes.get("eventid", "-")

    @property
    def reason(self) -> str:
        return self.message.attributes.get("dead_letter_reason", _TOO_MANY_ATTEMPTS)

    @property
    def subscription(self) -> str:
        """The subscription whose service could not apply it."""
        attributes = self.message.attributes
        return attributes.get("dead_letter_subscription") or attributes.get(_BROKER_SOURCE, "-")

    @property
    def topic(self) -> str | None:
        """The topic of that subscription; None if it is not one of the suite's."""
        return subscriptions().get(self.subscription)

    @property
    def redriven(self) -> int:
        text = self.message.attributes.get(REDRIVEN, "0")
        return int(text) if text.isdecimal() else 0

    def __str__(self) -> str:
        again = f"  redriven {self.redriven} times" if self.redriven else ""
        return f"{self.eventid}  {self.subscription}  {self.reason}{_subject(self.message)}{again}"

    def describe(self) -> Sequence[str]:
        """Return the dead letter with all attributes and its body."""
        attributes = sorted(self.message.attributes.items())
        body = self.message.data.decode(errors="backslashreplace")
        return [str(self), *(f"  {name}: {value}" for name, value in attributes), f"  {body}"]

    def to_redrive(self, now: float) -> Message:
        """Return the message as first published, with the count of redrives."""
        kept = {
            name: value
            for name, value in self.message.attributes.items()
            if name not in _OWN and not name.startswith(_BROKER_PREFIX)
        }
        marks = {REDRIVEN: str(self.redriven + 1), "redriven_time": timestamp(now)}
        return Message(self.message.data, {**kept, **marks})


@dataclass(frozen=True, slots=True)
class Filter:
    """Selects dead letters; None matches all."""

    eventid: str | None = None
    reason: str | None = None
    """Prefix of the reason."""
    subscription: str | None = None

    def __call__(self, letter: DeadLetter) -> bool:
        return (
            self.eventid in {None, letter.eventid}
            and self.subscription in {None, letter.subscription}
            and (self.reason is None or letter.reason.startswith(self.reason))
        )


Wanted = Callable[[DeadLetter], bool]


async def read(subscription: PullSubscription, wanted: Wanted) -> list[DeadLetter]:
    """Return the wanted ones of the first MAX_ROWS dead letters; all of them stay."""
    chosen, others = await _select(subscription, wanted)
    await subscription.release([letter.pulled for letter in (*chosen, *others)])
    return chosen


async def redrive(subscription: PullSubscription, bus: Bus, wanted: Wanted, now: float) -> list[DeadLetter]:
    """Publish the wanted dead letters to their topics again and remove them; return them.

    Every subscriber of the topic receives them; inboxes ignore events that were applied. Dead letters
    without a topic of the suite stay.
    """
    chosen, others = await _select(subscription, lambda each: wanted(each) and each.topic is not None)
    for letter in chosen:
        await bus.publish(str(letter.topic), [letter.to_redrive(now)])
        # Only now: after a crash in between it is published twice, which is harmless.
        await subscription.acknowledge([letter.pulled])
    await subscription.release([letter.pulled for letter in others])
    return chosen


async def drop(subscription: PullSubscription, wanted: Wanted) -> list[DeadLetter]:
    """Remove the wanted dead letters for good; return them."""
    chosen, others = await _select(subscription, wanted)
    await subscription.acknowledge([letter.pulled for letter in chosen])
    await subscription.release([letter.pulled for letter in others])
    return chosen


async def pull(subscription: PullSubscription, max_rows: int) -> list[PulledMessage]:
    """Pull messages until the subscription is empty, or `max_rows` and at most a page more."""
    pulled: list[PulledMessage] = []
    while len(pulled) < max_rows and (page := await subscription.pull(PAGE)):
        pulled += page
    return pulled


async def _select(
    subscription: PullSubscription, wanted: Wanted
) -> tuple[list[DeadLetter], list[DeadLetter]]:
    """Pull dead letters; return those that are wanted, and the others."""
    letters = [DeadLetter(each) for each in await pull(subscription, MAX_ROWS)]
    return [each for each in letters if wanted(each)], [each for each in letters if not wanted(each)]


def _subject(message: Message) -> str:
    try:
        body = json.loads(message.data)
        return f"  order {body['orderid']}: {body['status']}"
    except (ValueError, KeyError, TypeError):
        return ""
