"""The operator in the shop's simulation: redrives dead letters, provisions, and is interrupted."""

import asyncio
from collections import Counter
from contextlib import suppress

from sagactl.project import PROJECT
from sagakit.ctl.cli.provision import create
from sagakit.ctl.inspect.dead_letter_queue import UNVERIFIED, DeadLetterQueue, Handled
from sagakit.errors import Unavailable
from sagakit.fanout import EPHEMERAL_PREFIX
from sagakit.testing.backends import FaultyBus
from sagakit.testing.bus import MemoryPullSubscription
from sagakit.testing.world import World

INTERRUPTED = 0.3
"""Share of the redrives that end somewhere in the middle."""
MAX_SECONDS_BEFORE = 0.2


class Operator:
    """Does what `sagactl dlq redrive --execute` does."""

    def __init__(self, world: World) -> None:
        self.redriven: Counter[str] = Counter()
        """How many dead letters were redriven, and how many were left, by the reason."""
        self._world = world

    async def redrive(self) -> list[str]:
        """Redrive what is verified; return the dead letters that are not, each as a problem."""
        unverified: list[str] = []

        def note(handled: Handled) -> None:
            self.redriven[handled.left or "redriven"] += 1
            if handled.left == UNVERIFIED and not self._world.scenario.expects(handled.letter.message):
                unverified.append(f"a dead letter is left: {handled.letter}")

        backend = self._world.connect("operator")
        loop = asyncio.get_running_loop()
        name = PROJECT.topology.dead_letter_subscription
        subscription = MemoryPullSubscription(self._world.broker, name)
        queue = DeadLetterQueue(subscription, backend.bus, backend.tables, PROJECT, loop.time)
        with suppress(Unavailable):
            await queue.redrive(lambda _: True, note, self._world.now())
        return unverified

    async def provision_at_times(self, per_minute: float) -> None:
        """Do what `sagactl provision` does, until cancelled."""
        world = self._world
        while per_minute:
            await asyncio.sleep(world.random.expovariate(per_minute / 60))
            world.reached["fault provisions_per_minute"] += 1
            bus = FaultyBus(world, "operator")
            with suppress(Unavailable):
                await create(bus, PROJECT.topology.all_topics(), world.subscription_specs())
                await bus.sweep(EPHEMERAL_PREFIX)

    async def redrive_at_times(self, per_minute: float) -> None:
        """Redrive until cancelled."""
        random = self._world.random
        while per_minute:
            await asyncio.sleep(random.expovariate(per_minute / 60))
            self._world.reached["fault redrives_per_minute"] += 1
            seconds = random.uniform(0, MAX_SECONDS_BEFORE) if random.random() < INTERRUPTED else None
            with suppress(TimeoutError):
                await asyncio.wait_for(self.redrive(), seconds)
