"""The story of a run: what every process did, as lines that can be searched for an entity."""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from sagakit.bus import Message

FIRST_LINES, LAST_LINES = 16, 24
"""Of a longer story only these are shown, so that it fits on a screen."""
NEAR_SECONDS = 5.0
"""How close the end of a process must be to something that it did, to be part of that story."""
WIDTH = 150


class Line(NamedTuple):
    """A step of a process, at a moment of virtual time."""

    time: float
    who: str
    what: str
    details: str
    """Everything that the line is found by; "": it concerns the process as a whole."""


class Story:
    """The lines of one run."""

    def __init__(self, time: Callable[[], float]) -> None:
        self.lines: list[Line] = []
        self._time = time

    def add(self, who: str, what: str, details: str = "") -> None:
        """Append a line."""
        self.lines.append(Line(self._time(), who, what, details))

    def message(self, who: str, what: str, message: Message) -> None:
        """Append a line about a message."""
        attributes = message.attributes
        body = message.data.decode(errors="replace")
        name = f"{attributes.get('type', '')} {attributes.get('eventid', '')[:8]} {body}"
        self.add(who, f"{what} {name}", f"{attributes} {body}")

    def subject(self, problem: str) -> str:
        """Return the longest word of a problem that names something in the story; "" if none does."""
        words = sorted(set(re.findall(r"[\w.:/@-]+", problem)), key=lambda word: (-len(word), word))
        named = (word.strip(".:") for word in words if any(each in word for each in "0123456789-_"))
        return next((word for word in named if any(word in line.details for line in self.lines)), "")

    def about(self, subject: str) -> list[str]:
        """Return the lines about an entity as text, shortened to a screen; about everything if it is ""."""
        active: dict[str, float] = {}
        found: list[Line] = []
        for line in self.lines:
            if line.details and subject in line.details:
                active[line.who] = line.time
                found.append(line)
            elif not line.details and line.time - active.get(line.who, -NEAR_SECONDS) < NEAR_SECONDS:
                found.append(line)
        return _shortened([_text(line) for line in found])


def _text(line: Line) -> str:
    text = f"{line.time:9.2f} s  {line.who:<14} {line.what}"
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


def _shortened(lines: Iterable[str]) -> list[str]:
    every = list(lines)
    left_out = len(every) - FIRST_LINES - LAST_LINES
    if left_out <= 0:
        return every
    return [*every[:FIRST_LINES], f"{'':11}  … {left_out} more …", *every[-LAST_LINES:]]
