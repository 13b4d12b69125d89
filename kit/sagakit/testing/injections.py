"""Faults of processes: rolling restarts, clogged edges, clocks that jump, replicas that are lost."""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from sagakit.testing.edges import Edge

if TYPE_CHECKING:
    from sagakit.testing.world import World

MAX_LOSS_START_SECONDS = 120.0
"""Until when a replica is lost at the latest."""


def injections(world: "World") -> list[Coroutine[Any, Any, None]]:
    """Return the faults that are injected until the run settles."""
    return [drain_processes(world), clog_edges(world), set_clocks(world), lose_replicas(world)]


async def drain_processes(world: "World") -> None:
    """Restart one process after the other, as a rolling restart does."""
    while world.faults.drains_per_minute:
        await asyncio.sleep(world.random.expovariate(world.faults.drains_per_minute / 60))
        world.reached["fault drains_per_minute"] += 1
        world.random.choice(world.processes).drain()


async def clog_edges(world: "World") -> None:
    """Clog edges, each of which is released after a time of its own: in another order."""
    edges = list(Edge)
    while world.faults.clogs_per_minute:
        await asyncio.sleep(world.random.expovariate(world.faults.clogs_per_minute / 60))
        seconds = world.random.uniform(0, world.faults.clogged_seconds)
        world.reached["fault clogs_per_minute"] += 1
        world.random.choice(world.processes).clog(world.random.choice(edges), seconds)


async def set_clocks(world: "World") -> None:
    """Set clocks forward or back, within the maximum skew."""
    skew = world.faults.skew_seconds
    while world.faults.clock_jumps_per_minute:
        await asyncio.sleep(world.random.expovariate(world.faults.clock_jumps_per_minute / 60))
        world.reached["fault clock_jumps_per_minute"] += 1
        world.random.choice(world.processes).clock.set(world.random.uniform(-skew, skew))


async def lose_replicas(world: "World") -> None:
    """Lose one replica of each service that has several, for good: it dies, or freezes."""
    if not world.faults.loses_replicas:
        return
    lost = []
    for service in world.topology.names:
        replicas = [process for process in world.processes if process.service == service]
        if len(replicas) > 1:
            lost.append((world.random.uniform(0, MAX_LOSS_START_SECONDS), world.random.choice(replicas)))
    begin = asyncio.get_running_loop().time()
    for seconds, process in sorted(lost, key=lambda each: each[0]):
        await asyncio.sleep(max(0.0, begin + seconds - asyncio.get_running_loop().time()))
        world.reached["fault loses_replicas"] += 1
        process.lose(freezes=world.happens(0.5))
