"""A simulated service process: it can be started, called, frozen, killed at any await and started again."""

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any, cast

from sagakit.backends import Backend
from sagakit.batching import BatchedTables
from sagakit.messaging import Messaging
from sagakit.runtime import Runtime
from sagakit.service import ServiceFactory
from sagakit.settings import ServiceSettings
from sagakit.testing.backends import FaultyBus, FaultyTables
from sagakit.testing.direct import DirectCalls
from sagakit.testing.loop import Group, VirtualLoop, owner
from sagakit.testing.reached import CountingObserver, SharedCommits

if TYPE_CHECKING:
    from sagakit.testing.world import World

START = 1_800_000_000.0
"""Start of virtual time, in seconds since the epoch."""


class Died(Exception):
    """The called process was killed."""


class SimulatedProcess:
    """One replica of a service."""

    def __init__(
        self, world: "World", service: str, replica: int, build: ServiceFactory, settings: ServiceSettings
    ) -> None:
        """`replica`: its number, from 0."""
        self.world = world
        self.service = service
        self.replica = replica
        self.name = f"{service} {replica}"
        self.kills = 0
        skew = world.faults.skew_seconds
        self._skew = world.random.uniform(-skew, skew)
        world.reached["fault skew_seconds"] += bool(skew)
        self._build = build
        self._settings = settings
        self._group = Group()
        self._bus: FaultyBus | None = None
        self._context = contextvars.copy_context()
        self._calls = DirectCalls()

    @property
    def alive(self) -> bool:
        """Whether it runs, or is frozen."""
        return self._bus is not None

    def start(self) -> None:
        """Wire the service as `sagakit.run` does, except that RPCs are called directly."""
        self._group = Group()
        self._bus = FaultyBus(self.world, self.name)
        self._context = contextvars.copy_context()
        self._context.run(owner.set, self._group)
        tables = SharedCommits(FaultyTables(self.world, self), self.world.reached)
        batched = self._context.run(BatchedTables, tables, self.world.simulation.batches, tables)
        backend = Backend(batched, self._bus)
        backend = self.world.scenario.connect(self, backend)
        messaging = Messaging(self.service, self._settings, backend, self.runtime(), self._build)
        for register in messaging.service.servicers:
            register(self._calls)
        running = self._context.run(asyncio.create_task, messaging.run())
        running.add_done_callback(self._ended)

    def kill(self) -> None:
        """End all tasks of the process and cut it off from the broker; its commits remain."""
        if self._bus is not None:
            self._bus.die()
            self._bus = None
            cast("VirtualLoop", asyncio.get_running_loop()).thaw(self._group)
            for task in list(self._group.tasks):
                task.cancel()

    def crash(self) -> None:
        """Kill the process if it is alive; it restarts within `down_seconds`."""
        if self.alive:
            self.world.tell(self.name, "dies")
            self.kill()
            self.kills += 1
            down_seconds = self.world.random.uniform(0, self.world.faults.down_seconds)
            asyncio.get_running_loop().call_later(down_seconds, self.start)

    def freeze(self, seconds: float) -> None:
        """Stop the process at its next await, and let it continue later, unless it was killed meanwhile."""
        bus = self._bus
        if bus is None or bus.frozen:
            return
        self.world.tell(self.name, f"stops for {seconds:.0f} s")
        bus.frozen = self._group.frozen = True
        loop, group = cast("VirtualLoop", asyncio.get_running_loop()), self._group

        def thaw() -> None:
            bus.frozen = False
            loop.thaw(group)
            held, bus.held = bus.held, []
            for deliver in held:
                deliver()

        loop.call_later(seconds, thaw)

    async def call(self, method: str, request: Any) -> Any:
        """Call a gRPC method and return its response. Raises SagaError, or Died."""
        if self._bus is None:
            raise Died
        task = self._context.run(asyncio.create_task, self._calls.call(method, request))
        try:
            return await task
        except asyncio.CancelledError:
            raise Died from None

    def runtime(self) -> Runtime:
        """Return the process's clocks, and the randomness of the run."""
        loop, random = asyncio.get_running_loop(), self.world.random
        return Runtime(
            now=lambda: START + self._skew + loop.time(),
            monotonic=loop.time,
            sleep=asyncio.sleep,
            random=random,
            new_id=self.world.new_id,
            observer=CountingObserver(self.service, self.world.reached),
        )

    def _ended(self, running: "asyncio.Task[None]") -> None:
        if not running.cancelled() and (error := running.exception()) is not None:
            self.world.problems.append(f"{self.name} ends with {error!r}")
