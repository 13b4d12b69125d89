"""A process at a terminal of its own: what it shows there, what is typed, and how it leaves it."""

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
    """The terminal's side of it."""

    def __init__(self, terminal: int, process: "subprocess.Popen[bytes]", settings: list[object]) -> None:
        self.process = process
        self._terminal = terminal
        self._settings_before = settings
        self._shown = b""
        # As a terminal does it: on and on, or the process would be held up.
        self._reader = threading.Thread(target=self._read_on)
        self._reader.start()

    @property
    def shown(self) -> str:
        """Everything so far, with its escape sequences."""
        return self._shown.decode(errors="replace")

    @property
    def as_before(self) -> bool:
        """Whether keys come as they did before the process began."""
        return termios.tcgetattr(self._terminal) == self._settings_before

    def type(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    def _read_on(self) -> None:
        # EIO: there is nobody left who writes.
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
    """Ctrl-C typed there reaches the process. The terminal outlives it, so that it can be looked at."""
    terminal, its_side = pty.openpty()
    fcntl.ioctl(its_side, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    settings = termios.tcgetattr(terminal)
    # It makes this the terminal whose Ctrl-C is the process's.
    process = subprocess.Popen(
        ["setsid", "--ctty", *command],
        cwd=directory,
        env=environ,
        stdin=its_side,
        stdout=its_side,
        stderr=its_side,
    )
    shown = Pseudoterminal(terminal, process, settings)
    try:
        yield shown
    finally:
        os.close(its_side)
        shown.close()
        os.close(terminal)
