"""A simulated service process: it can be started, called, killed at any await and started again."""

import asyncio
import contextvars
from random import Random
from typing import Any

import grpc

from contract.topology import TOPOLOGY
from sagakit.backends import Backend
from sagakit.messaging import Messaging
from sagakit.runtime import Runtime
from sagakit.service import ServiceFactory
from sagakit.settings import BackendSettings, ServiceSettings
from tests.simulation.broker import SimBroker, SimBus
from tests.simulation.faults import FaultRates
from tests.simulation.loop import Tasks, owner
from tests.simulation.tables import SimDatabase, SimTables
from tests.support.newer_release import NewerRelease

START = 1_800_000_000.0
"""Start of virtual time, in seconds since the epoch."""


class Died(Exception):
    """The called process was killed."""


class SimProcess:
    """One replica of a service."""

    def __init__(
        self,
        service: str,
        build: ServiceFactory,
        database: SimDatabase,
        broker: SimBroker,
        faults: FaultRates,
        random: Random,
        release: NewerRelease | None,
    ) -> None:
        """`release`: the newer release that it is of; None: this version."""
        self.service = service
        self.release = release
        self.kills = 0
        self.broker = broker
        self.faults = faults
        self._build = build
        self._database = database
        self._random = random
        self._skew = random.uniform(-faults.skew_seconds, faults.skew_seconds)
        self._tasks: Tasks = {}
        self._bus: SimBus | None = None
        self._methods: dict[str, grpc.RpcMethodHandler] = {}

    @property
    def alive(self) -> bool:
        return self._bus is not None

    def start(self) -> None:
        """Wire the service as its composition root does, except that RPCs are called directly."""
        self._tasks = {}
        self._bus = SimBus(self.broker, self._random, self.release, self.service)
        context = contextvars.copy_context()
        context.run(owner.set, self._tasks)
        backend = Backend(SimTables(self._database, self, self._random), self._bus)
        messaging = Messaging(self.service, settings_of(self.service), backend, self._runtime(), self._build)
        (register,) = messaging.service.servicers
        register(self)
        context.run(asyncio.create_task, messaging.run())
        self._context = context

    def kill(self) -> None:
        """End all tasks of the process and cut it off from the broker; its commits remain."""
        if self._bus is not None:
            self._bus.die()
            self._bus = None
            for task in list(self._tasks):
                task.cancel()

    def crash(self) -> None:
        """Kill the process if it is alive; it restarts within `down_seconds`."""
        if self.alive:
            self.kill()
            self.kills += 1
            down_seconds = self._random.uniform(0, self.faults.down_seconds)
            asyncio.get_running_loop().call_later(down_seconds, self.start)

    async def call(self, method: str, request: Any) -> Any:
        """Call a gRPC method and return its response. Raises SagaError, or Died."""
        if self._bus is None:
            raise Died
        behavior = self._methods[method].unary_unary
        task = self._context.run(asyncio.create_task, behavior(request, None))
        try:
            return await task
        except asyncio.CancelledError:
            raise Died from None

    def add_generic_rpc_handlers(self, _: Any) -> None:
        """Called by gRPC's generated code."""

    def add_registered_method_handlers(self, _: str, methods: "dict[str, grpc.RpcMethodHandler]") -> None:
        self._methods = methods

    def _runtime(self) -> Runtime:
        loop = asyncio.get_running_loop()
        return Runtime(
            now=lambda: START + self._skew + loop.time(),
            monotonic=loop.time,
            sleep=asyncio.sleep,
            random=self._random,
            new_id=lambda: f"{self._random.getrandbits(128):032x}",
        )


def settings_of(service: str) -> ServiceSettings:
    return ServiceSettings(
        backend=BackendSettings("embedded"),
        publish_topic=TOPOLOGY.topics[service],
        subscribe_topics=TOPOLOGY.subscribed_topics(service),
        dead_letter_topic=TOPOLOGY.dead_letter_topic,
        host="",
        port=0,
        environ={},
    )
