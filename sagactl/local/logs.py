"""What children print: kept in files as it came, and cut into lines fit for a terminal."""

import re
from pathlib import Path

MAX_LINE_BYTES = 8192
_TAIL_BYTES = 16_384

# All control characters but tabs, except where they begin a colour.
_UNFIT = re.compile(r"\x1b(?!\[[0-9;]{0,16}m)|[\x00-\x08\x0a-\x1a\x1c-\x1f\x7f-\x9f]")


class Lines:
    """Cuts a stream of bytes into lines; one without an end is cut where it becomes too long."""

    def __init__(self) -> None:
        self._begun = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes."""
        *complete, self._begun = (self._begun + data).split(b"\n")
        while len(self._begun) > MAX_LINE_BYTES:
            complete.append(self._begun[:MAX_LINE_BYTES])
            self._begun = self._begun[MAX_LINE_BYTES:]
        return [piece for line in complete for piece in _pieces(line)]

    def rest(self) -> list[str]:
        """What never got its end."""
        begun, self._begun = self._begun, b""
        return _pieces(begun) if begun else []


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, fit for a terminal."""
    return "\n".join(f"  {line}" for line in last_lines(log, lines)) or "(no log)"


def last_lines(log: Path, lines: int) -> list[str]:
    """Fit for a terminal each; none where there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            last = file.read().rstrip().split(b"\n")[-lines:]
    except OSError:
        return []
    return [fit(line) for line in last]


def fit(line: bytes) -> str:
    """Text without anything that would upset a terminal."""
    return _UNFIT.sub("", line.decode(errors="replace"))


def _pieces(line: bytes) -> list[str]:
    return [fit(line[at : at + MAX_LINE_BYTES]) for at in range(0, max(len(line), 1), MAX_LINE_BYTES)]
