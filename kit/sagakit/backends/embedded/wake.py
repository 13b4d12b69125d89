"""Wakes processes that wait for messages, by a named pipe for each waiter, so that none has to poll."""

import asyncio
import contextlib
import errno
import os
import uuid
from collections.abc import Callable
from pathlib import Path


class Waker:
    """Wakes the waiters of a name, in all processes that share the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def wake(self, name: str) -> None:
        """Wake every waiter of that name, now or when it next waits. Never blocks."""
        for pipe in self._folder.glob(f"{name}@*"):
            try:
                writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    # It has no reader: its process crashed.
                    pipe.unlink(missing_ok=True)
                continue
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(writer, b"!")
            os.close(writer)

    def has_waiter(self, name: str) -> bool:
        """Whether a live process waits under that name."""
        for pipe in self._folder.glob(f"{name}@*"):
            with contextlib.suppress(OSError):
                os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
                return True
        return False

    def on_wake(self, name: str, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` on the running loop at every wake-up; return a function that ends this."""
        pipe = self._folder / f"{name}@{uuid.uuid4()}"
        # It gets its name only once it has a reader: else `wake` might take its process for a dead one.
        hidden = self._folder / f".{pipe.name}"
        os.mkfifo(hidden, 0o600)
        # Opened for writing too: without a writer, the reader would be at end-of-file all the time.
        reader = os.open(hidden, os.O_RDWR | os.O_NONBLOCK)
        hidden.rename(pipe)
        loop = asyncio.get_running_loop()

        def readable() -> None:
            with contextlib.suppress(BlockingIOError):
                os.read(reader, 4096)
            callback()

        def unregister() -> None:
            loop.remove_reader(reader)
            pipe.unlink(missing_ok=True)
            os.close(reader)

        loop.add_reader(reader, readable)
        return unregister
