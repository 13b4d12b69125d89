"""A dead letter: what failed where and why, and the message that a redrive publishes."""

from dataclasses import dataclass

from sagakit.bus import Message, PulledMessage
from sagakit.ctl.project import Project
from sagakit.events import eventid_of, timestamp

REDRIVEN, REDRIVEN_TIME = "redriven", "redriven_time"
"""Attributes with the number of times a message was redriven, and when it was last."""
MAX_BODY = 65_536
"""Bytes of a body that are shown."""

_OWN = ("dead_letter_reason", "dead_letter_subscription", "dead_letter_time")
_BROKER_PREFIX = "CloudPubSubDeadLetter"
_BROKER_SOURCE = "CloudPubSubDeadLetterSourceSubscription"
_TOO_MANY_ATTEMPTS = "delivered too often"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be applied."""

    pulled: PulledMessage
    project: Project
    unverified: str = ""
    """Why it is not verified; "": its publisher has a matching record."""

    @property
    def message(self) -> Message:
        return self.pulled.message

    @property
    def eventid(self) -> str:
        return eventid_of(self.message) or "-"

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
        """The topic of that subscription; None if it is not one of the project's."""
        return self.project.topology.subscriptions().get(self.subscription)

    @property
    def redriven(self) -> int:
        text = self.message.attributes.get(REDRIVEN, "0")
        return int(text) if text.isdecimal() and len(text) < 10 else 0

    def __str__(self) -> str:
        again = f"  redriven {self.redriven} times" if self.redriven else ""
        unverified = f"  unverified: {self.unverified}" if self.unverified else ""
        subject = self.project.subject(self.message)
        about = f"  {subject}" if subject else ""
        return f"{self.eventid}  {self.subscription}  {self.reason}{about}{again}{unverified}"

    def describe(self) -> list[str]:
        """Return the dead letter with all attributes and its body, a line each."""
        attributes = sorted(self.message.attributes.items())
        body = self.message.data[:MAX_BODY].decode(errors="backslashreplace")
        more = [f"  … ({len(self.message.data)} bytes)"] if len(self.message.data) > MAX_BODY else []
        return [str(self), *(f"  {name}: {value}" for name, value in attributes), f"  {body}", *more]

    def to_redrive(self, now: float) -> Message:
        """Return the message as first published, with the count of redrives."""
        kept = {
            name: value
            for name, value in self.message.attributes.items()
            if name not in _OWN and not name.startswith(_BROKER_PREFIX)
        }
        marks = {REDRIVEN: str(self.redriven + 1), REDRIVEN_TIME: timestamp(now)}
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
