"""The lines for whoever watches: a reader who is slow, stuck or gone never holds up the suite."""

import os
import queue
import threading
from contextlib import suppress

_CAPACITY_LINES = 5_000


class Terminal:
    """Writes lines to a file descriptor, in a thread: a full pipe or a stopped terminal blocks.

    Lines that find no room are dropped and counted; the logs have them all.
    """

    def __init__(self, output: int = 1) -> None:
        self._output = output
        self._lines: queue.Queue[str | None] = queue.Queue(_CAPACITY_LINES)
        self._dropped = 0
        self._writer = threading.Thread(target=self._write_all, daemon=True)
        self._writer.start()

    def say(self, text: str) -> None:
        """Print a line, or several, soon."""
        try:
            if self._dropped:
                self._lines.put_nowait(f"({self._dropped} lines left out here)")
                self._dropped = 0
            self._lines.put_nowait(text)
        except queue.Full:
            self._dropped += 1

    def close(self, patience_seconds: float = 1.0) -> None:
        """Return once all is written, or the patience with a stuck reader is at its end."""
        with suppress(queue.Full):
            self._lines.put(None, timeout=patience_seconds)
            self._writer.join(patience_seconds)

    def _write_all(self) -> None:
        # A reader that went away is no reason to stop taking lines, only to stop writing them.
        with suppress(OSError):
            while (text := self._lines.get()) is not None:
                self._write(f"{text}\n".encode(errors="replace"))
            return
        while self._lines.get() is not None:
            pass

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._output, data) :]
