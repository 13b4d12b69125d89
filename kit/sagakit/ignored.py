"""Events that a service has no reaction to, told by their attributes alone."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_ATTRIBUTE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Ignored:
    """The events of a topic that a service ignores: those of one type whose attribute has one of the values.

    Only what a service knows and has no reaction to belongs here. Every other event is handled: one without
    the attribute, with another value, or of another type. The attribute is a hint: one that contradicts its
    body only has the publisher's own event ignored. Raises ValueError if it cannot be written as a filter.
    """

    event_type: str
    """The attribute `type` of the events."""
    attribute: str
    """Its name, of the characters A-Z a-z 0-9 _ -."""
    values: frozenset[str]

    def __post_init__(self) -> None:
        if not _ATTRIBUTE.fullmatch(self.attribute):
            raise ValueError(f"{self.attribute!r} is no name of an attribute: A-Z a-z 0-9 _ -")
        for text in (self.event_type, *self.values):
            if not text.isprintable() or '"' in text or "\\" in text:
                raise ValueError(f"{text!r} must be printable, without quotation marks and backslashes")
        if not self.values:
            raise ValueError(f"no values of {self.attribute}")

    def includes(self, attributes: Mapping[str, str]) -> bool:
        """Whether the event with these attributes is ignored."""
        return attributes.get(self.attribute) in self.values and attributes.get("type") == self.event_type
