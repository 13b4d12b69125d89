"""Requests to stop: Ctrl-C, SIGTERM, or a terminal that was closed."""

import asyncio
import os
import select
import signal
import sys
from collections.abc import Coroutine
from typing import TypeVar

from sagakit.concurrency import first_completed

T = TypeVar("T")

_STDIN = 0


class StopSignals:
    """Events that are set when this process is asked to stop."""

    def __init__(self) -> None:
        """Handle SIGINT, SIGTERM and SIGHUP from now on. If SIGHUP is ignored (nohup), it stays so."""
        self.requested = asyncio.Event()
        self.force = asyncio.Event()
        """Set by Ctrl-C after an earlier request: do not wait for anything."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        loop.add_signal_handler(signal.SIGTERM, self.requested.set)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGHUP, self.requested.set)
            self._watch_terminal(loop)

    def _interrupt(self) -> None:
        # Only Ctrl-C forces: make forwards a SIGTERM that the whole group received, so it arrives twice.
        if self.requested.is_set():
            self.force.set()
        self.requested.set()

    def _watch_terminal(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop when the terminal hangs up: the kernel signals the session leader only, which may be make."""
        if sys.platform != "linux" or not os.isatty(_STDIN):
            return
        hangup = select.epoll()
        hangup.register(_STDIN, 0)  # No events: the hang-up is always reported.

        def hung_up() -> None:
            loop.remove_reader(hangup)
            self.requested.set()

        loop.add_reader(hangup, hung_up)


async def until_stopped(work: Coroutine[object, object, T]) -> T | None:
    """Return the result of `work`, or None if a stop was requested first.

    In a container this is process 1, which ends on no signal that it does not handle.
    """
    signals = StopSignals()

    async def stop() -> None:
        await signals.requested.wait()

    return await first_completed(work, stop())
