"""Far more than the suite can serve: whether it refuses, stays within its memory, and keeps its word."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tests.chaos.cluster import Cluster
from tests.chaos.customers import Customers
from tests.chaos.load import REFUSALS, LoadGenerator

BUSY_CUSTOMERS = 128
"""So many, without a pause between their calls, keep the suite busy; ten times as many are too many."""
TIMES = 10
BUSY_SECONDS = 10.0
MOST_MB = 150
"""What a process may have in memory, the gateway excepted, which holds the connections of everybody."""
GATEWAY_MB = 250
SAMPLE_SECONDS = 0.5


class Overload:
    """A suite that keeps up with its customers, and then does not."""

    def __init__(self, cluster: Cluster, shop: Customers, seed: int) -> None:
        self._cluster = cluster
        self._shop = shop
        self._crowd = LoadGenerator(cluster.gateways, shop, seed)
        self._peaks: Counter[str] = Counter()
        self.problems: list[str] = []

    async def figures(self, seconds: float, ended_within: float) -> dict[str, Any]:
        """Overload it for so long, and see everything that was accepted end."""
        async with self._memory_watched():
            sustained = await self._rush(1, BUSY_SECONDS)
            crowded = await self._rush(TIMES, seconds)
            closed_at = time.monotonic()
            await self._shop.all_ended(ended_within)
        self._judge(crowded["answers"])
        backlog = {"seconds until all had ended": round(time.monotonic() - closed_at, 1)}
        peaks = {name: round(self._peaks[name]) for name in sorted(self._peaks)}
        return {"busy": sustained, "crowded": crowded, "afterwards": backlog, "MB at most": peaks}

    async def _rush(self, times: int, seconds: float) -> dict[str, Any]:
        self._crowd.answers.clear()
        rate = await self._crowd.rush(times * BUSY_CUSTOMERS, seconds)
        answers = dict(sorted(self._crowd.answers.items()))
        return {
            "customers": times * BUSY_CUSTOMERS,
            "requests/s": round(sum(answers.values()) / seconds),
            "accepted orders/s": round(rate, 1),
            "answers": answers,
        }

    def _judge(self, answers: Mapping[str, int]) -> None:
        if not any(answers.get(str(status)) for status in REFUSALS):
            self.problems.append(f"nobody was refused, so it was no overload: {answers}")
        for name, peak in self._peaks.items():
            most = GATEWAY_MB if name.startswith("gateway") else MOST_MB
            if peak > most:
                self.problems.append(f"{name} had {peak:.0f} MB in memory, more than {most}")

    @asynccontextmanager
    async def _memory_watched(self) -> AsyncIterator[None]:
        async def watch() -> None:
            while True:
                for name, megabytes in self._cluster.memory().items():
                    self._peaks[name] = max(self._peaks[name], round(megabytes))
                await asyncio.sleep(SAMPLE_SECONDS)

        watching = asyncio.create_task(watch())
        try:
            yield
        finally:
            watching.cancel()
