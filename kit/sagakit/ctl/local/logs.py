"""Output of child processes: kept in files as it came, and cut into lines that are safe for a terminal."""

import asyncio
import os
from pathlib import Path
from typing import BinaryIO

from sagakit.untrusted import escape

MAX_LINE_BYTES = 8192
_BLOCK_BYTES = 16_384


async def read_line(reader: asyncio.StreamReader) -> bytes:
    """Return the next line with its end, or the next MAX_LINE_BYTES of a longer one; b"" at the end.

    `reader`: has MAX_LINE_BYTES as its limit.
    """
    try:
        return await reader.readuntil()
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError:
        return await reader.readexactly(MAX_LINE_BYTES)


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log, indented, for an error message."""
    return "\n".join(f"  {line}" for line in last_lines(log, lines)) or "(no log)"


def last_lines(log: Path, lines: int) -> list[str]:
    """Return the last lines of a log, safe for a terminal; none if there is no log.

    It reads MAX_LINE_BYTES a line at most, on average: the first of longer ones may be cut, or missing.
    """
    try:
        with log.open("rb") as file:
            return [printable(line) for line in _end(file, lines)]
    except OSError:
        return []


def _end(file: BinaryIO, lines: int) -> list[bytes]:
    length, size = file.seek(0, os.SEEK_END), _BLOCK_BYTES
    while True:
        start = max(0, length - size)
        file.seek(start)
        end = file.read(length - start).rstrip()
        if start == 0 or end.count(b"\n") >= lines or size >= lines * MAX_LINE_BYTES:
            return end.split(b"\n")[-lines:]
        size *= 2


def printable(line: bytes) -> str:
    """Return the text of a line without its end, with everything in it escaped that is not printable."""
    return escape(line.rstrip(b"\r\n").decode(errors="replace").expandtabs())
