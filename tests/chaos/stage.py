"""The suite of a game day's experiments, as local processes: faults, and observations."""

import asyncio
import os
import sqlite3
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from typing import Any

from sagactl.inspect.records import every
from sagakit.tables import MAX_MUTATIONS, Delete, Insert, Key, Mutation, Tables
from tests.chaos.cluster import Cluster
from tests.chaos.customers import Customers
from tests.chaos.load import LoadGenerator
from tests.chaos.schedule import VICTIM_TIMEOUT_SECONDS
from tests.chaos.versions import CURRENT, FUTURE
from tests.simulation.restore import KINDS
from tests.support.wall_clock import WallClock

RECOVERY_SECONDS = 90.0


class NotPossibleError(Exception):
    """This suite does not allow the experiment; the message has the reason."""


class Stage(ABC):
    """The suite of an experiment: what is done to it is printed, and what is wrong is kept."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """`environ` names the backend to sagactl."""
        self._environ = environ
        self.problems: list[str] = []

    @property
    @abstractmethod
    def retried(self) -> int:
        """Requests that failed, so that customers retried them."""

    @abstractmethod
    async def open_orders(self) -> int:
        """Return how many orders have not ended."""

    @abstractmethod
    async def hot_load(self, customers: int, basket: Mapping[str, int], seconds: float) -> Mapping[str, int]:
        """Run customers without think time for `seconds`; return counts of what they were answered."""

    @abstractmethod
    async def recover(self, since: float) -> None:
        """Wait until all orders that were accepted up to now have ended; `since`: when the fault began."""

    @abstractmethod
    async def kill(self, service: str) -> None:
        """Kill a process of the service."""

    @abstractmethod
    def drained_node(self) -> AbstractAsyncContextManager[None]:
        """Stop the processes of one node during the block."""

    @abstractmethod
    async def empty_broker(self) -> None:
        """Let the broker lose every message."""

    @abstractmethod
    def half_rolled_out(self) -> AbstractAsyncContextManager[None]:
        """Begin to roll a version out, and roll back after the block."""

    def skewed(self, seconds: int) -> AbstractAsyncContextManager[None]:
        """Step the clocks of some processes during the block."""
        raise NotPossibleError("the clock of a node cannot be set from here")

    def restored(self, service: str) -> AbstractAsyncContextManager[None]:
        """Put the records of the service back, after the block, to the moment before it."""
        raise NotPossibleError("a backup is restored by hand: docs/restore.md")

    def say(self, line: str) -> None:
        print(f"  {line}", flush=True)

    async def sagactl(self, *argv: str) -> str:
        """Run a command on the suite, which may exit with 1; return what it prints."""
        return (await self._run(sys.executable, "-m", "sagactl", *argv))[1]

    async def _run(self, *argv: str) -> tuple[int, str]:
        """Run a program; return its exit status, and what it prints."""
        shown = [*argv[2:]] if argv[0] == sys.executable else argv
        self.say(f"$ {' '.join(shown)}")
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *argv, env={**os.environ, **self._environ}, stdout=pipe, stderr=pipe
        )
        output, errors = await process.communicate()
        if b"Error: " in errors or b"error: " in errors:
            self.problems.append(f"{' '.join(shown)}: {errors.decode().strip()}")
        return process.returncode or 0, output.decode()


class LocalStage(Stage):
    """A cluster of local processes, and its customers."""

    def __init__(self, cluster: Cluster, load: Customers, seed: int, clock: WallClock | None) -> None:
        super().__init__({"RUN_DIR": "none", **cluster.environ})
        self._cluster = cluster
        self._load = load
        self._seed = seed
        self._clock = clock

    @property
    def retried(self) -> int:
        return sum(self._load.failed.values())

    async def open_orders(self) -> int:
        return sum(order.ended_at is None for order in self._load.ledger.values())

    async def hot_load(self, customers: int, basket: Mapping[str, int], seconds: float) -> Mapping[str, int]:
        flood = LoadGenerator(self._cluster.gateways, self._load, self._seed, [basket])
        await flood.run(customers, seconds)
        return flood.answers

    async def recover(self, since: float) -> None:
        began_at, open_orders = time.monotonic(), await self.open_orders()
        known = list(self._load.ledger.values())
        while any(order.ended_at is None for order in known):
            if time.monotonic() > began_at + RECOVERY_SECONDS:
                left = sum(order.ended_at is None for order in known)
                self.problems.append(f"{left} orders were open {RECOVERY_SECONDS:g} s after the fault")
                return
            await asyncio.sleep(0.1)
        times = [order.seconds for order in known if order.at >= since]
        self.say(
            f"{len(times)} orders accepted, {open_orders} open at its end, which took "
            f"{time.monotonic() - began_at:.1f} s more; the slowest {max(times, default=0):.1f} s"
        )

    async def kill(self, service: str) -> None:
        async with asyncio.timeout(VICTIM_TIMEOUT_SECONDS):
            while not (victims := self._cluster.victims(service)):  # noqa: ASYNC110  state is polled
                await asyncio.sleep(0.05)
        self.say(f"kill -9 of {victims[0].program.name}")
        self._cluster.kill(victims[0])

    @asynccontextmanager
    async def drained_node(self) -> AsyncIterator[None]:
        self.say("the first replica of each service and of the gateway is drained")
        async with self._cluster.stopped(self._cluster.replicas(number=1)):
            yield

    async def empty_broker(self) -> None:
        self.say("the broker loses every message")
        if self._cluster.broker is not None:
            await self._cluster.broker.restart()
        else:
            await asyncio.to_thread(delete_messages, self._environ["EMBEDDED_FILE"])

    @asynccontextmanager
    async def skewed(self, seconds: int) -> AsyncIterator[None]:
        if self._clock is None:
            raise NotPossibleError("needs Linux and gcc, for a library that steps the clocks of processes")
        self.say(f"the clocks of half of the processes are off by {seconds:+d} s")
        self._clock.step_to(seconds)
        yield
        self._clock.step_to(0)

    @asynccontextmanager
    async def half_rolled_out(self) -> AsyncIterator[None]:
        first = self._cluster.replicas(number=1)
        self.say("the first replica of each is replaced by one of a newer version")
        async with self._cluster.stopped(first, FUTURE):
            pass
        yield
        self.say("rolled back")
        async with self._cluster.stopped(first, CURRENT):
            pass

    @asynccontextmanager
    async def restored(self, service: str) -> AsyncIterator[None]:
        tables = self._load.tables
        before = {kind: {name: row async for name, row in every(tables, kind)} for kind in KINDS[service]}
        yield
        self.say(f"{service} is stopped, its records are put back, and it is started again")
        async with self._cluster.stopped(self._cluster.replicas(service)):
            self._load.history.forget_records(await _put_back(tables, before))


def delete_messages(file: str) -> None:
    """Let the embedded backend in this file lose every message."""
    with closing(sqlite3.connect(file, timeout=30)) as database, database:
        database.execute("DELETE FROM message")


async def _put_back(tables: Tables, before: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return the names of what has changed meanwhile."""
    changed: set[str] = set()
    for kind, entities in before.items():
        now = {name: entity async for name, entity in every(tables, kind)}
        changed |= {name for name in now if now[name] != entities.get(name)}
        gone: list[Mutation] = [Delete(Key(kind, name)) for name in now]
        old: list[Mutation] = [Insert(Key(kind, name), entity) for name, entity in entities.items()]
        for mutations in (gone, old):
            for start in range(0, len(mutations), MAX_MUTATIONS):
                await tables.commit(mutations[start : start + MAX_MUTATIONS])
    return changed
