"""A simulated service process: it can be started, called, frozen, killed at any await and started again."""

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any, cast

from sagakit.backends import Backend
from sagakit.batching import BatchedTables
from sagakit.errors import OutcomeUnknown
from sagakit.messaging import Messaging, drain
from sagakit.runtime import Runtime
from sagakit.service import ServiceFactory
from sagakit.settings import ServiceSettings
from sagakit.testing.backends import FaultyBus, FaultyTables
from sagakit.testing.defects import poisoned
from sagakit.testing.direct import DirectCalls
from sagakit.testing.edges import CALL_TIMEOUT_SECONDS, Edge, Edges
from sagakit.testing.loop import Group, VirtualLoop, owner
from sagakit.testing.reached import CountingObserver, SharedCommits
from sagakit.testing.skewed_clock import SkewedClock

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
        self.drains = 0
        self.is_lost = False
        """Whether it died or froze for good."""
        self.edges = Edges()
        skew, drift = world.faults.skew_seconds, world.faults.clock_drift
        self.clock = SkewedClock(
            lambda: asyncio.get_running_loop().time(),
            START,
            world.random.uniform(-skew, skew),
            world.random.uniform(-drift, drift) if drift else 0.0,
        )
        world.reached["fault skew_seconds"] += bool(skew)
        world.reached["fault clock_drift"] += bool(drift)
        self._build = build
        self._settings = settings
        self._group = Group()
        self._bus: FaultyBus | None = None
        self._context = contextvars.copy_context()
        self._calls = DirectCalls()
        self._messaging: Messaging | None = None

    @property
    def alive(self) -> bool:
        """Whether it runs, or is frozen."""
        return self._bus is not None

    def start(self) -> None:
        """Wire the service as `sagakit.run` does, except that RPCs are called directly."""
        if self.is_lost:
            return
        self._group = Group()
        self._bus = FaultyBus(self.world, self.name, self.edges)
        self._context = contextvars.copy_context()
        self._context.run(owner.set, self._group)
        tables = SharedCommits(FaultyTables(self.world, self), self.world.reached)
        batched = self._context.run(BatchedTables, tables, self.world.simulation.batches, tables)
        backend = Backend(batched, self._bus)
        backend = self.world.scenario.connect(self, backend)
        build = poisoned(self._build, self.world)
        self._messaging = Messaging(self.service, self._settings, backend, self.runtime(), build)
        self._calls = DirectCalls()
        for register in self._messaging.service.servicers:
            register(self._calls)
        running = self._context.run(asyncio.create_task, self._messaging.run())
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
        if self.alive and not self.is_lost:
            self.world.tell(self.name, "dies")
            self.kill()
            self.kills += 1
            down_seconds = self.world.random.uniform(0, self.world.faults.down_seconds)
            asyncio.get_running_loop().call_later(down_seconds, self.start)

    def drain(self) -> None:
        """Restart the process as a rolling restart does, unless it is dead or about to end."""
        if self._bus is not None and self._messaging is not None and not self.is_lost:
            self.world.tell(self.name, "drains")
            self._context.run(asyncio.create_task, self._drain(self._messaging))
            self._messaging = None

    async def _drain(self, messaging: Messaging) -> None:
        """Do what `sagakit.run` does on SIGTERM. A process that dies meanwhile is restarted anyway."""
        await drain(self._calls, messaging, self._settings.drain_delay_seconds)
        self.drains += 1
        self.world.tell(self.name, "ends, and restarts")
        self.kill()
        self.start()

    def freeze(self, seconds: float) -> None:
        """Stop the process at its next await, and let it continue later, unless it was killed meanwhile."""
        bus = self._bus
        if bus is None or bus.frozen or self.is_lost:
            return
        self.world.tell(self.name, f"stops for {seconds:.0f} s")
        bus.frozen = self._group.frozen = True
        loop, group = cast("VirtualLoop", asyncio.get_running_loop()), self._group

        def thaw() -> None:
            if not self.is_lost:
                bus.frozen = False
                loop.thaw(group)
                bus.resume()

        loop.call_later(seconds, thaw)

    def lose(self, *, freezes: bool) -> None:
        """Let the process freeze or die for good."""
        if freezes:
            self.freeze(0)
        self.is_lost = True
        self.world.tell(self.name, "freezes for good" if freezes else "dies for good")
        if not freezes:
            self.kill()

    def clog(self, edge: Edge, seconds: float) -> None:
        """Let nothing through between the process and one of those that it talks to, for a while."""
        if not self.edges.is_clogged(edge):
            self.world.tell(self.name, f"is cut off from the {edge} for {seconds:.0f} s")
            self.edges.clog(edge)
            asyncio.get_running_loop().call_later(seconds, self._release, edge)

    def _release(self, edge: Edge) -> None:
        self.edges.release(edge)
        if self._bus is not None and not self._bus.is_cut_off:
            self._bus.resume()

    async def call(self, method: str, request: Any) -> Any:
        """Call a gRPC method and return its response. Raises SagaError, or Died."""
        await self.edges.passed(Edge.CALLERS)
        if self._bus is None:
            raise Died
        task = self._context.run(asyncio.create_task, self._calls.call(method, request))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait({task}, timeout=CALL_TIMEOUT_SECONDS)
        if not task.done():
            task.cancel()
            raise OutcomeUnknown("no response in time")
        await self.edges.passed(Edge.CALLERS)
        if task.cancelled():
            raise Died
        return task.result()

    def runtime(self) -> Runtime:
        """Return the process's clocks, and the randomness of the run."""
        return Runtime(
            now=self.clock.now,
            monotonic=self.clock.monotonic,
            sleep=asyncio.sleep,
            random=self.world.random,
            new_id=self.world.new_id,
            observer=CountingObserver(self.service, self.world.reached),
        )

    def _ended(self, running: "asyncio.Task[None]") -> None:
        if not running.cancelled() and (error := running.exception()) is not None:
            self.world.problems.append(f"{self.name} ends with {error!r}")
