"""Recovery times: how long open orders take to end after a failure."""

import asyncio
import time

from tests.chaos.cluster import Cluster
from tests.chaos.customers import Customers
from tests.chaos.schedule import FaultSchedule, victims

LOAD_SECONDS = 1.5
RECOVERY_TIMEOUT_SECONDS = 180.0
CHECK_INTERVAL_SECONDS = 0.05


class Recovery:
    """One failure at a time under load; measures the seconds until all affected orders have ended."""

    def __init__(self, cluster: Cluster, schedule: FaultSchedule, customers: Customers) -> None:
        self._cluster = cluster
        self._schedule = schedule
        self._customers = customers

    async def from_kills(self, times: int) -> list[float]:
        services = victims(self._schedule.random)
        return [await self._from_kill(service) for service, _ in zip(services, range(times), strict=False)]

    async def from_empty_brokers(self, times: int) -> list[float]:
        """Measured from the end of the broker, whose restart takes some of the seconds."""
        return [await self._from_empty_broker() for _ in range(times)]

    async def _from_kill(self, service: str) -> float:
        await asyncio.sleep(LOAD_SECONDS)
        victim = await self._schedule.victim(service)
        failed_at = time.monotonic()
        self._cluster.kill(victim)
        return await self._recovered(failed_at, failed_at)

    async def _from_empty_broker(self) -> float:
        await asyncio.sleep(LOAD_SECONDS)
        failed_at = time.monotonic()
        await self._cluster.broker.restart()
        return await self._recovered(failed_at, time.monotonic())

    async def _recovered(self, failed_at: float, back_at: float) -> float:
        """Return the seconds from the failure until the last order accepted before `back_at` ended."""
        affected = [
            order
            for order in self._customers.ledger.values()
            if order.at <= back_at and (order.ended_at is None or order.ended_at >= failed_at)
        ]
        async with asyncio.timeout(RECOVERY_TIMEOUT_SECONDS):
            while not all(order.ended_at for order in affected):  # noqa: ASYNC110  state is polled
                await asyncio.sleep(CHECK_INTERVAL_SECONDS)
        return max((order.ended_at or failed_at for order in affected), default=failed_at) - failed_at
