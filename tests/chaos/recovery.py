"""How long orders wait that were on their way when something failed."""

import asyncio
import time

from tests.chaos.cluster import Cluster
from tests.chaos.customers import Customers
from tests.chaos.schedule import FaultSchedule, victims

LOAD_SECONDS = 1.5
RECOVERED_SECONDS = 180.0
CHECK_INTERVAL_SECONDS = 0.05


class Recovery:
    """One failure at a time, under load: the seconds until all orders that it met on their way had ended."""

    def __init__(self, cluster: Cluster, storm: FaultSchedule, shop: Customers) -> None:
        self._cluster = cluster
        self._storm = storm
        self._shop = shop

    async def from_kills(self, times: int) -> list[float]:
        services = victims(self._storm.random)
        return [await self._from_kill(service) for service, _ in zip(services, range(times), strict=False)]

    async def from_empty_brokers(self, times: int) -> list[float]:
        """Counted from the moment at which the broker ends; its own start takes some seconds of them."""
        return [await self._from_empty_broker() for _ in range(times)]

    async def _from_kill(self, service: str) -> float:
        await asyncio.sleep(LOAD_SECONDS)
        victim = await self._storm.victim(service)
        failed_at = time.monotonic()
        self._cluster.kill(victim)
        return await self._recovered(failed_at, failed_at)

    async def _from_empty_broker(self) -> float:
        await asyncio.sleep(LOAD_SECONDS)
        failed_at = time.monotonic()
        await self._cluster.broker.restart()
        return await self._recovered(failed_at, time.monotonic())

    async def _recovered(self, failed_at: float, back_at: float) -> float:
        """Seconds from the failure to the end of the last order accepted until all was back."""
        met = [
            order
            for order in self._shop.ledger.values()
            if order.at <= back_at and (order.ended_at is None or order.ended_at >= failed_at)
        ]
        async with asyncio.timeout(RECOVERED_SECONDS):
            while not all(order.ended_at for order in met):  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(CHECK_INTERVAL_SECONDS)
        return max((order.ended_at or failed_at for order in met), default=failed_at) - failed_at
