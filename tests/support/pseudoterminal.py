"""A process at a pseudoterminal: its output, its input and the terminal's settings."""

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path


class Pseudoterminal:
    """The terminal's side of a pseudoterminal."""

    def __init__(self, terminal: int, process: "subprocess.Popen[bytes]", settings: list[object]) -> None:
        self.process = process
        self._terminal = terminal
        self._settings_before = settings
        self._shown = b""
        # Read continuously, as a terminal does, or the process would block.
        self._reader = threading.Thread(target=self._read_all)
        self._reader.start()

    @property
    def shown(self) -> str:
        """All output so far, with escape sequences."""
        return self._shown.decode(errors="replace")

    @property
    def as_before(self) -> bool:
        """Whether the terminal's settings are those from before the process started."""
        return termios.tcgetattr(self._terminal) == self._settings_before

    def type(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    def _read_all(self) -> None:
        # EIO: no process has the terminal open any more.
        with suppress(OSError):
            while data := os.read(self._terminal, 65_536):
                self._shown += data

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()


@contextmanager
def at_a_terminal(
    command: Sequence[str], directory: Path, environ: Mapping[str, str], columns: int = 80, rows: int = 24
) -> Iterator[Pseudoterminal]:
    """Start a process with this controlling terminal, which outlives it so that tests can inspect it."""
    terminal, process_side = pty.openpty()
    fcntl.ioctl(process_side, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    settings = termios.tcgetattr(terminal)
    # setsid --ctty makes it the controlling terminal, so that Ctrl-C reaches the process.
    process = subprocess.Popen(
        ["setsid", "--ctty", *command],
        cwd=directory,
        env=environ,
        stdin=process_side,
        stdout=process_side,
        stderr=process_side,
    )
    shown = Pseudoterminal(terminal, process, settings)
    try:
        yield shown
    finally:
        os.close(process_side)
        shown.close()
        os.close(terminal)
