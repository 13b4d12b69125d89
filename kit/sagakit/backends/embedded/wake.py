"""Waking processes that wait for messages: a named pipe each, so that nobody has to poll."""

import asyncio
import contextlib
import errno
import os
import uuid
from collections.abc import Callable
from pathlib import Path


class Waker:
    """Wakes whoever waits under a name, in any process that shares the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def wake(self, name: str) -> None:
        """Every waiter of that name wakes up, now or when it next waits. Never blocks."""
        for pipe in self._folder.glob(f"{name}@*"):
            try:
                writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    # Nobody reads it: its process died without a farewell.
                    pipe.unlink(missing_ok=True)
                continue
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(writer, b"!")
            os.close(writer)

    def has_waiter(self, name: str) -> bool:
        """Whether a process that lives waits under that name."""
        for pipe in self._folder.glob(f"{name}@*"):
            with contextlib.suppress(OSError):
                os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
                return True
        return False

    def on_wake(self, name: str, awake: Callable[[], None]) -> Callable[[], None]:
        """Call `awake` on the running loop at every wake-up, until what is returned is called."""
        pipe = self._folder / f"{name}@{uuid.uuid4()}"
        # Found under its name only once it is read: else it might be taken for a dead process's.
        unborn = self._folder / f".{pipe.name}"
        os.mkfifo(unborn, 0o600)
        # Opened for writing too: with no writer left, a reader would see end-of-file without end.
        reader = os.open(unborn, os.O_RDWR | os.O_NONBLOCK)
        unborn.rename(pipe)
        loop = asyncio.get_running_loop()

        def readable() -> None:
            with contextlib.suppress(BlockingIOError):
                os.read(reader, 4096)
            awake()

        def forget() -> None:
            loop.remove_reader(reader)
            pipe.unlink(missing_ok=True)
            os.close(reader)

        loop.add_reader(reader, readable)
        return forget
