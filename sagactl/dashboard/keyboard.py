"""One key, without Enter, from a terminal that is afterwards as it was before."""

import asyncio
import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

QUIT = frozenset(b"qQ")


@contextmanager
def quitting(quit_: Callable[[], None]) -> Iterator[None]:
    """Meanwhile q calls `quit_`, and keys are not shown; nothing happens where there is no terminal."""
    try:
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
    except (OSError, ValueError, termios.error):
        yield
        return

    def pressed() -> None:
        keys = _read(descriptor)
        if not keys:
            loop.remove_reader(descriptor)
        if QUIT & set(keys):
            quit_()

    loop = asyncio.get_running_loop()
    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, pressed)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 64)
    except OSError:
        return b""
