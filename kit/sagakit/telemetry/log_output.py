"""Standard output, written to once per turn of the event loop rather than once per line."""

import asyncio
import atexit
from collections import deque
from contextlib import suppress
from typing import TextIO


class LogOutput:
    """A file for loggers, usable by any thread.

    Lines of one turn of the event loop are one write; lines of other threads, or without a loop, are
    written at once. If the process is killed, those of the current turn are lost.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lines: deque[str] = deque()
        self._flushing_in: asyncio.AbstractEventLoop | None = None
        atexit.register(self._write_out)

    def write(self, text: str) -> None:
        """Add lines, which are written with the next `flush`."""
        self._lines.append(text)

    def flush(self) -> None:
        """Write what was added, at the end of this turn."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._write_out()
            return
        if self._flushing_in is not loop:
            self._flushing_in = loop
            loop.call_soon(self._write_out)

    def _write_out(self) -> None:
        self._flushing_in = None
        lines = []
        # Without asking first whether there is one: another thread may take it meanwhile. A lock would be
        # one more thing to wait for, and to hold in a finalizer that logs.
        with suppress(IndexError):
            while True:
                lines.append(self._lines.popleft())
        if lines:
            self._file.write("".join(lines))
            self._file.flush()
