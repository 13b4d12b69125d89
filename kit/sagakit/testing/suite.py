"""All services of a topology in one process, over any backend: for tests of sagas without injected faults."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

from sagakit.backends import Backend, open_backend, open_broker
from sagakit.bus import Delivery, Provisioner
from sagakit.events import Event
from sagakit.messaging import Messaging
from sagakit.observer import Observer, Report
from sagakit.outbox import outbox_kind
from sagakit.runtime import Runtime
from sagakit.service import ServiceFactory
from sagakit.settings import BackendSettings, ServiceSettings
from sagakit.tables import Entity, Key
from sagakit.testing.broker import MemoryBroker
from sagakit.testing.bus import MemoryBus
from sagakit.testing.direct import DirectCalls
from sagakit.testing.eventually import eventually
from sagakit.testing.simulation import UNUSED
from sagakit.testing.tables import MemoryTables
from sagakit.topology import Topology

SHORT = {"SWEEP_SECONDS": "0.5", "REMINDER_INTERVAL_SECONDS": "2"}
"""Intervals of services in tests."""
MIN_RETRY_SECONDS, MAX_RETRY_SECONDS, LEASE_SECONDS = 0.1, 1.0, 10
MEMORY = {"BACKEND": "memory"}
"""The environment of the backend in memory, which only `SagaSuite` knows."""


class MemoryBackend:
    """A database and a broker in memory, which processes of a test share."""

    def __init__(self) -> None:
        self.tables = MemoryTables()
        self.broker = MemoryBroker()

    def connect(self) -> Backend:
        """Return the backend of one process."""
        return Backend(self.tables, MemoryBus(self.broker))

    async def provision(self, topology: Topology) -> None:
        """Create the topics and subscriptions of a topology."""
        await provision(MemoryBus(self.broker), topology)


async def provision(provisioner: Provisioner, topology: Topology) -> None:
    """Create the topics and subscriptions of a topology, with short retry delays."""
    for topic in (*topology.all_topics(), *topology.foreign_topics.values()):
        await provisioner.ensure_topic(topic)
    for spec in topology.subscription_specs():
        await provisioner.ensure_subscription(
            replace(
                spec,
                min_retry_seconds=MIN_RETRY_SECONDS,
                max_retry_seconds=MAX_RETRY_SECONDS,
                ack_deadline_seconds=LEASE_SECONDS,
            )
        )


class _Deliveries(Observer):
    """Counts the deliveries that are being processed."""

    def __init__(self) -> None:
        self.in_flight = 0

    @contextmanager
    def delivery(self, _: str, __: Delivery) -> Iterator[Report]:
        self.in_flight += 1
        try:
            yield lambda *_: None
        finally:
            self.in_flight -= 1


class SagaSuite:
    """The services of a topology, one process each. They can be stopped and started again."""

    def __init__(
        self,
        topology: Topology,
        services: Mapping[str, ServiceFactory],
        environ: Mapping[str, str],
        connect: Callable[[], Backend],
    ) -> None:
        self.topology = topology
        self.backend = connect()
        """A client's connection."""
        self._services = services
        self._environ = environ
        self._connect = connect
        self._deliveries = _Deliveries()
        self._running: dict[str, tuple[asyncio.Task[None], Messaging, DirectCalls]] = {}

    def start(self, *services: str) -> None:
        """Start services."""
        for name in services:
            environ = {**SHORT, **self.topology.environ(name), **self._environ, "PORT": "0"}
            if environ["BACKEND"] == MEMORY["BACKEND"]:
                environ |= UNUSED
            settings = ServiceSettings.from_environ(environ)
            runtime = Runtime(observer=self._deliveries)
            messaging = Messaging(name, settings, self._connect(), runtime, self._services[name])
            calls = DirectCalls()
            for register in messaging.service.servicers:
                register(calls)
            self._running[name] = (asyncio.create_task(messaging.run()), messaging, calls)

    async def stop(self, *services: str) -> None:
        """Stop services after what is in flight is done. Raises what ended one of them before."""
        for name in services:
            task, messaging, _ = self._running.pop(name)
            if not task.done():
                messaging.stop()
                await messaging.drained()
                task.cancel()
            await asyncio.gather(task, return_exceptions=task.cancelling() > 0)

    async def kill(self, *services: str) -> None:
        """End services at once, wherever they are."""
        for name in services:
            task, _, _ = self._running.pop(name)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def stop_all(self) -> None:
        """Stop the services that run."""
        await self.stop(*self._running)

    async def publish(self, topic: str, event: Event) -> None:
        """Publish an event as a client does."""
        await self.backend.bus.publish(topic, [event.to_message()])

    async def call(self, service: str, method: str, request: Any) -> Any:
        """Call an RPC directly; return its response. Raises what the servicer raises."""
        return await self._running[service][2].call(method, request)

    async def entity(self, kind: str, name: str) -> Entity | None:
        """Return a stored entity, or None."""
        key = Key(kind, name)
        row = (await self.backend.tables.lookup([key])).get(key)
        return None if row is None else row.entity

    async def eventually(self, condition: Callable[[], Any], seconds: float = 10.0) -> Any:
        """Return the first true value of `condition`, see `sagakit.testing.eventually`."""
        return await eventually(condition, seconds)

    async def settled(self, seconds: float = 10.0) -> None:
        """Wait until every outbox is empty and no delivery is in flight, for a while.

        A message on its way is only seen in memory; on other backends prefer `eventually`.
        """
        quiet = 0

        async def is_settled() -> bool:
            nonlocal quiet
            quiet = quiet + 1 if await self._is_quiet() else 0
            return quiet > 3

        await eventually(is_settled, seconds, pause=0.02)

    async def _is_quiet(self) -> bool:
        broker = getattr(self.backend.bus, "broker", None)
        if self._deliveries.in_flight or (broker is not None and broker.in_flight):
            return False
        kinds = (outbox_kind(service) for service in self.topology.names)
        return not any([await self.backend.tables.page(kind, "", 1) for kind in kinds])


@asynccontextmanager
async def running_suite(
    topology: Topology, services: Mapping[str, ServiceFactory], environ: Mapping[str, str] = MEMORY
) -> AsyncIterator[SagaSuite]:
    """Context manager: run the services inside the block, provisioned.

    `environ` names the backend (`memory`, or one that `sagakit.backends` opens), beside settings of services.
    """
    async with AsyncExitStack() as stack:
        if environ.get("BACKEND", MEMORY["BACKEND"]) == MEMORY["BACKEND"]:
            environ = {**MEMORY, **environ}
            memory = MemoryBackend()
            await memory.provision(topology)
            suite = SagaSuite(topology, services, environ, memory.connect)
        else:
            settings = BackendSettings.from_environ(environ)
            async with open_broker(settings, Runtime()) as broker:
                await provision(broker.provisioner, topology)
            backend = await stack.enter_async_context(open_backend(settings, Runtime()))
            suite = SagaSuite(topology, services, environ, lambda: backend)
        stack.push_async_callback(suite.stop_all)
        suite.start(*topology.names)
        yield suite
