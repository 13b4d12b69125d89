"""Overload: the suite must reject requests, stay within its memory and finish what it accepted."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tests.chaos.cluster import Cluster
from tests.chaos.customers import Customers
from tests.chaos.load import OVERLOAD_STATUSES, LoadGenerator

BUSY_CUSTOMERS = 128
"""Customers without think time that keep the suite busy; ten times as many overload it."""
OVERLOAD_FACTOR = 10
BUSY_SECONDS = 10.0
MAX_MB = 150
"""Maximum memory of a process, except the gateway, which holds all connections."""
GATEWAY_MB = 250
SAMPLE_SECONDS = 0.5


class Overload:
    """Measures a busy suite, then an overloaded one."""

    def __init__(self, cluster: Cluster, customers: Customers, seed: int) -> None:
        self._cluster = cluster
        self._customers = customers
        self._load = LoadGenerator(cluster.gateways, customers, seed)
        self._peaks: Counter[str] = Counter()
        self.problems: list[str] = []

    async def figures(self, seconds: float, ended_within: float) -> dict[str, Any]:
        """Overload the suite for `seconds`, then wait until every accepted order has ended."""
        async with self._memory_sampled():
            sustained = await self._run(1, BUSY_SECONDS)
            overloaded = await self._run(OVERLOAD_FACTOR, seconds)
            closed_at = time.monotonic()
            await self._customers.wait_until_ended(ended_within)
        self._check(overloaded["answers"])
        backlog = {"seconds until all ended": round(time.monotonic() - closed_at, 1)}
        peaks = {name: round(self._peaks[name]) for name in sorted(self._peaks)}
        return {"busy": sustained, "overloaded": overloaded, "afterwards": backlog, "MB at most": peaks}

    async def _run(self, times: int, seconds: float) -> dict[str, Any]:
        self._load.answers.clear()
        rate = await self._load.run(times * BUSY_CUSTOMERS, seconds)
        answers = dict(sorted(self._load.answers.items()))
        return {
            "customers": times * BUSY_CUSTOMERS,
            "requests/s": round(sum(answers.values()) / seconds),
            "accepted orders/s": round(rate, 1),
            "answers": answers,
        }

    def _check(self, answers: Mapping[str, int]) -> None:
        if not any(answers.get(str(status)) for status in OVERLOAD_STATUSES):
            self.problems.append(f"no request was rejected, so this was no overload: {answers}")
        for name, peak in self._peaks.items():
            limit = GATEWAY_MB if name.startswith("gateway") else MAX_MB
            if peak > limit:
                self.problems.append(f"{name} had {peak:.0f} MB in memory, more than {limit}")

    @asynccontextmanager
    async def _memory_sampled(self) -> AsyncIterator[None]:
        async def sample() -> None:
            while True:
                for name, megabytes in self._cluster.memory().items():
                    self._peaks[name] = max(self._peaks[name], round(megabytes))
                await asyncio.sleep(SAMPLE_SECONDS)

        sampling = asyncio.create_task(sample())
        try:
            yield
        finally:
            sampling.cancel()
