"""Being asked to stop: by Ctrl-C, by another process, or by the terminal that went away."""

import asyncio
import os
import select
import signal
import sys

_STDIN = 0


class StopSignals:
    """Set once somebody has asked this process to stop."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        """It was asked."""
        self.force = asyncio.Event()
        """It was asked before, and now comes Ctrl-C: no more patience."""

    def install(self) -> None:
        """From now on signals come here; where SIGHUP is ignored (nohup), so is the terminal's end."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupted)
        loop.add_signal_handler(signal.SIGTERM, self.requested.set)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGHUP, self.requested.set)
            self._watch_terminal(loop)

    def _interrupted(self) -> None:
        # Only Ctrl-C: of one SIGTERM to a process group, make sends us a second one.
        if self.requested.is_set():
            self.force.set()
        self.requested.set()

    def _watch_terminal(self, loop: asyncio.AbstractEventLoop) -> None:
        """The kernel sends SIGHUP to the session's leader, and make, if it is that, keeps it to itself."""
        if sys.platform != "linux" or not os.isatty(_STDIN):
            return
        hangup = select.epoll()
        hangup.register(_STDIN, 0)  # No event but the hang-up, which always counts.

        def hung_up() -> None:
            loop.remove_reader(hangup)
            self.requested.set()

        loop.add_reader(hangup, hung_up)
