"""A clock that tests advance."""

import asyncio
import heapq
from collections.abc import Iterable
from itertools import count
from random import Random

from sagakit.observer import Observer
from sagakit.runtime import Runtime
from sagakit.telemetry.instruments import Metrics
from sagakit.telemetry.recorder import Recorder

START = 1_000_000.0


class Clock:
    """The clocks and `sleep` of a `Runtime`: `advance` wakes sleepers in the order of their times."""

    def __init__(self) -> None:
        self._now = START
        self._stepped = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._ids = count(1)

    def now(self) -> float:
        """Return the wall-clock time, in seconds since the epoch."""
        return self._now + self._stepped

    def monotonic(self) -> float:
        """Return the seconds that have passed since the clock was made; `step` does not change it."""
        return self._now - START

    def step(self, seconds: float) -> None:
        """Set the wall clock forward, or back if negative; no time passes."""
        self._stepped += seconds

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has let that time pass."""
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._numbers), woken))
        await woken

    @property
    def sleepers(self) -> int:
        """Number of tasks that sleep."""
        return sum(not woken.done() for _, _, woken in self._sleepers)

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass, and run every task that wakes meanwhile."""
        until = self._now + seconds
        await settled()
        while self._sleepers and self._sleepers[0][0] <= until:
            self._now, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
                await settled()
        self._now = until
        await settled()

    def runtime(self, seed: int = 1, observer: Observer | None = None) -> Runtime:
        """Return a runtime that is deterministic."""
        return Runtime(
            self.now,
            self.monotonic,
            self.sleep,
            Random(seed),
            lambda: f"id-{next(self._ids)}",
            observer or Observer(),
        )

    def recorder(self, metrics: Metrics, reasons: Iterable[str] = ()) -> Recorder:
        """Return an observer that records `metrics` by this clock."""
        return Recorder(metrics, None, reasons, self.now, self.monotonic)


async def settled() -> None:
    """Let tasks run until each waits for time to pass or for input."""
    for _ in range(50):
        await asyncio.sleep(0)


def impatient() -> Runtime:
    """Return the real runtime, with sleeps that take no time."""
    return Runtime(sleep=lambda _: asyncio.sleep(0))
