"""Lines for a terminal, written by a thread, so that a slow or closed reader never blocks the suite."""

import os
import queue
import threading
from contextlib import suppress

_CAPACITY_LINES = 5_000


class Terminal:
    """Writes lines to a file descriptor. Lines beyond the capacity are dropped and counted; logs have all."""

    def __init__(self, output: int = 1) -> None:
        self._output = output
        self._lines: queue.Queue[str | None] = queue.Queue(_CAPACITY_LINES)
        self._dropped = 0
        self._writer = threading.Thread(target=self._write_all, daemon=True)
        self._writer.start()

    def print(self, text: str) -> None:
        """Queue a line, or several. Never blocks."""
        try:
            if self._dropped:
                self._lines.put_nowait(f"({self._dropped} lines left out here)")
                self._dropped = 0
            self._lines.put_nowait(text)
        except queue.Full:
            self._dropped += 1

    def close(self, timeout_seconds: float = 1.0) -> None:
        """Return once everything is written, or after the timeout."""
        with suppress(queue.Full):
            self._lines.put(None, timeout=timeout_seconds)
            self._writer.join(timeout_seconds)

    def _write_all(self) -> None:
        # After the reader has gone, keep taking lines from the queue.
        with suppress(OSError):
            while (text := self._lines.get()) is not None:
                self._write(f"{text}\n".encode(errors="replace"))
            return
        while self._lines.get() is not None:
            pass

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._output, data) :]
