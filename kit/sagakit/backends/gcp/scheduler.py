"""Passes the subscriber client's messages to the event loop directly, without a thread pool."""

import asyncio
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from google.cloud.pubsub_v1.subscriber.scheduler import Scheduler

SETTLE_TIMEOUT_SECONDS = 30.0


class LoopScheduler(Scheduler):
    """A scheduler of the client, whose threads run `schedule` and `shutdown`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: queue.Queue[Any] = queue.Queue()
        self._received: list[Callable[[], None]] = []
        """Callbacks that the loop has yet to run."""
        self._unsettled = 0
        self._abandoned = False
        self._changed = threading.Condition()

    @property
    def queue(self) -> "queue.Queue[Any]":
        return self._queue

    def schedule(self, callback: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        with self._changed:
            self._unsettled += 1
            self._received.append(partial(callback, *args, **kwargs))
            is_first = len(self._received) == 1
        if is_first:  # Messages of one response wake the loop once.
            self._loop.call_soon_threadsafe(self._run_received)

    def _run_received(self) -> None:
        with self._changed:
            received, self._received = self._received, []
        for callback in received:
            callback()

    def settled(self) -> None:
        """Record that one delivery has been acknowledged or nacked."""
        with self._changed:
            self._unsettled -= 1
            self._changed.notify_all()

    def abandon(self) -> None:
        """Let `shutdown` return without waiting for deliveries in flight."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()

    def shutdown(self, await_msg_callbacks: bool = False) -> list[Any]:
        """Wait until the deliveries in flight are settled, so that their acknowledgements are sent."""
        if await_msg_callbacks:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._abandoned or self._unsettled <= 0, SETTLE_TIMEOUT_SECONDS
                )
        return []
