"""The order in which things are done to the suite: seeded, and the same number of times to every service."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from random import Random

from sagactl.local import programs as suite
from sagactl.local.supervisor import SupervisedProcess
from tests.chaos.cluster import Cluster
from tests.chaos.faults import Faults

PAUSE_SECONDS = (0.4, 2.4)
FREEZE_EVERY = 10
"""One process is frozen for each so many kills; and so on."""
AWAY_EVERY = 12
STALL_EVERY = 12
BROKER_EVERY = 30
LONGER_THAN_A_LEASE = (12.0, 15.0)
AWAY_SECONDS = (1.0, 4.0)
STALL_SECONDS = (2.0, 8.0)
"""A call to the emulators is given up after five."""
VICTIM_SECONDS = 30.0


def victims(random: Random) -> Iterator[str]:
    """Services, each as often as any other."""
    services = [*suite.SERVICES, suite.GATEWAY]
    while True:
        random.shuffle(services)
        yield from services


class FaultSchedule:
    """Kills, and what else a service may meet."""

    def __init__(self, cluster: Cluster, faults: Faults, seed: int) -> None:
        self._cluster = cluster
        self._faults = faults
        self.random = Random(seed)
        self.kills: Counter[str] = Counter()
        self.frozen = 0
        self.broker_restarts = 0

    async def rage(self, kills: int) -> None:
        """So many kills, one after the other, with everything else in between."""
        self._faults.begin()
        turns = victims(self.random)
        async with asyncio.TaskGroup() as beside:
            for number in range(1, kills + 1):
                await asyncio.sleep(self.random.uniform(*PAUSE_SECONDS))
                service = next(turns)
                self._cluster.kill(await self.victim(service))
                self.kills[service] += 1
                self._also(number, beside)
        self._faults.end()

    async def victim(self, service: str) -> SupervisedProcess:
        """One of its processes that runs: killed, they are back before long."""
        async with asyncio.timeout(VICTIM_SECONDS):
            while not (running := self._cluster.victims(service)):  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(0.05)
        return self.random.choice(running)

    def _also(self, number: int, beside: asyncio.TaskGroup) -> None:
        # Each at a different moment of the round.
        if number % FREEZE_EVERY == 3:
            beside.create_task(self._freeze())
        if number % AWAY_EVERY == 6:
            self._faults.go_away(self.random.uniform(*AWAY_SECONDS))
        if number % STALL_EVERY == 0:
            self._faults.stall(self.random.uniform(*STALL_SECONDS))
        if number % BROKER_EVERY == 15:
            beside.create_task(self._restart_broker())

    async def _freeze(self) -> None:
        service = self.random.choice(list(suite.SERVICES))
        victim = await self.victim(service)
        self.frozen += 1
        await self._cluster.freeze(victim, self.random.uniform(*LONGER_THAN_A_LEASE))

    async def _restart_broker(self) -> None:
        self.broker_restarts += 1
        await self._cluster.broker.restart()
