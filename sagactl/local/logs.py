"""Output of child processes: kept in files as it came, and cut into lines that are safe for a terminal."""

import re
from pathlib import Path

MAX_LINE_BYTES = 8192
_TAIL_BYTES = 16_384

# All control characters but tabs and those that begin a colour.
_UNSAFE = re.compile(r"\x1b(?!\[[0-9;]{0,16}m)|[\x00-\x08\x0a-\x1a\x1c-\x1f\x7f-\x9f]")


class Lines:
    """Splits a stream of bytes into lines of at most MAX_LINE_BYTES."""

    def __init__(self) -> None:
        self._partial = b""

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that `data` completes."""
        *complete, self._partial = (self._partial + data).split(b"\n")
        while len(self._partial) > MAX_LINE_BYTES:
            complete.append(self._partial[:MAX_LINE_BYTES])
            self._partial = self._partial[MAX_LINE_BYTES:]
        return [part for line in complete for part in _parts(line)]

    def rest(self) -> list[str]:
        """Return what has no line end yet."""
        partial, self._partial = self._partial, b""
        return _parts(partial) if partial else []


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log, indented, for an error message."""
    return "\n".join(f"  {line}" for line in last_lines(log, lines)) or "(no log)"


def last_lines(log: Path, lines: int) -> list[str]:
    """Return the last lines of a log, safe for a terminal; none if there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            last = file.read().rstrip().split(b"\n")[-lines:]
    except OSError:
        return []
    return [printable(line) for line in last]


def printable(line: bytes) -> str:
    """Return the text without control characters, except colours."""
    return _UNSAFE.sub("", line.decode(errors="replace"))


def _parts(line: bytes) -> list[str]:
    return [printable(line[at : at + MAX_LINE_BYTES]) for at in range(0, max(len(line), 1), MAX_LINE_BYTES)]
