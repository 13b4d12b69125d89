"""A fault schedule: seeded, with the same number of kills for every service."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from random import Random

from sagactl.project import PROJECT
from sagakit.ctl.local.supervisor import SupervisedProcess
from tests.chaos.cluster import Cluster
from tests.chaos.faults import Faults

PAUSE_SECONDS = (0.4, 2.4)
FREEZE_EVERY = 10
"""Kills per freeze; likewise for the other faults."""
OUTAGE_EVERY = 12
STALL_EVERY = 12
BROKER_EVERY = 30
LONGER_THAN_A_LEASE = (12.0, 15.0)
OUTAGE_SECONDS = (1.0, 4.0)
STALL_SECONDS = (2.0, 8.0)
"""Calls to the emulators time out after 5 s."""
VICTIM_TIMEOUT_SECONDS = 30.0


def victims(random: Random) -> Iterator[str]:
    """Yield services in random order, each equally often."""
    services = list(PROJECT.programs)
    while True:
        random.shuffle(services)
        yield from services


class FaultSchedule:
    """Injects kills and all other faults."""

    def __init__(self, cluster: Cluster, faults: Faults, seed: int) -> None:
        self._cluster = cluster
        self._faults = faults
        self.random = Random(seed)
        self.kills: Counter[str] = Counter()
        self.frozen = 0
        self.broker_restarts = 0

    async def run(self, kills: int) -> None:
        """Kill `kills` processes one after the other, with the other faults in between."""
        self._faults.begin()
        services = victims(self.random)
        async with asyncio.TaskGroup() as background:
            for number in range(1, kills + 1):
                await asyncio.sleep(self.random.uniform(*PAUSE_SECONDS))
                service = next(services)
                self._cluster.kill(await self.victim(service))
                self.kills[service] += 1
                self._inject_more(number, background)
        self._faults.end()

    async def victim(self, service: str) -> SupervisedProcess:
        """Wait until the service has a running process, and return one."""
        async with asyncio.timeout(VICTIM_TIMEOUT_SECONDS):
            while not (running := self._cluster.victims(service)):  # noqa: ASYNC110  state is polled
                await asyncio.sleep(0.05)
        return self.random.choice(running)

    def _inject_more(self, number: int, background: asyncio.TaskGroup) -> None:
        # Each at a different point of the cycle.
        if number % FREEZE_EVERY == 3:
            background.create_task(self._freeze())
        if number % OUTAGE_EVERY == 6:
            self._faults.become_unavailable(self.random.uniform(*OUTAGE_SECONDS))
        if number % STALL_EVERY == 0:
            self._faults.stall(self.random.uniform(*STALL_SECONDS))
        if number % BROKER_EVERY == 15:
            background.create_task(self._restart_broker())

    async def _freeze(self) -> None:
        service = self.random.choice(PROJECT.topology.names)
        victim = await self.victim(service)
        self.frozen += 1
        await self._cluster.freeze(victim, self.random.uniform(*LONGER_THAN_A_LEASE))

    async def _restart_broker(self) -> None:
        self.broker_restarts += 1
        await self._cluster.broker.restart()
