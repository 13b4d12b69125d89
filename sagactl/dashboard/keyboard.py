"""The key that quits the dashboard, read without Enter; the terminal is restored afterwards."""

import asyncio
import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

QUIT = frozenset(b"qQ")


@contextmanager
def quitting(quit_: Callable[[], None]) -> Iterator[None]:
    """Context manager: call `quit_` when q is pressed inside the block. A no-op without a terminal."""
    try:
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
    except (OSError, ValueError, termios.error):
        yield
        return

    def pressed() -> None:
        keys = b""
        with suppress(OSError):
            keys = os.read(descriptor, 64)
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
