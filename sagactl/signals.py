"""Being asked to stop, by the terminal or by another process."""

import asyncio
import signal


class StopSignals:
    """Set once the signals that end a command have come."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        """The first came."""
        self.hurry = asyncio.Event()
        """A second one came: no more patience."""

    def install(self) -> None:
        """From now on they come here; an ignored SIGHUP (nohup) stays ignored."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._received)
        loop.add_signal_handler(signal.SIGTERM, self._received)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGHUP, self._received)

    def _received(self) -> None:
        if self.asked.is_set():
            self.hurry.set()
        self.asked.set()
