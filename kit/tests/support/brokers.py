"""Every implementation of `Bus`, opened once for each process of a test."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport

from sagakit.backends import open_pull_subscription
from sagakit.backends.embedded.bus import EmbeddedBus
from sagakit.backends.embedded.database import Database
from sagakit.backends.gcp.channels import aio_transport
from sagakit.backends.gcp.leases import LEASE_SECONDS
from sagakit.backends.gcp.provision import DEAD_AFTER_SECONDS, PubsubProvisioner, open_pubsub_provisioner
from sagakit.backends.gcp.pubsub import open_pubsub
from sagakit.bus import Bus, Provisioner, PullSubscription, SubscriptionSpec
from sagakit.runtime import Runtime
from sagakit.settings import BackendSettings
from sagakit.testing.broker import MemoryBroker
from sagakit.testing.bus import MemoryBus, MemoryPullSubscription
from sagakit.testing.contracts import BrokerUnderTest
from tests.support import cloud

ROOT = Path(__file__).parents[2]

BROKERS = (
    [cloud.CLOUD]
    if cloud.PROJECT
    else ["memory", "embedded", pytest.param("pubsub", marks=pytest.mark.emulators)]
)
"""If a real project is configured, that alone."""


@dataclass(frozen=True)
class Broker(BrokerUnderTest):
    """A broker of the test's own, without topics."""

    name: str
    file: Path
    project: str
    """For a real one: the prefix of all names of the test."""
    emulator: str
    memory: MemoryBroker = field(default_factory=MemoryBroker)

    @property
    def lease_seconds(self) -> int:
        """The broker's shortest lease: how long a message is blocked if its holder dies."""
        return 1 if self.name in {"memory", "embedded"} else LEASE_SECONDS

    def open(self) -> AbstractAsyncContextManager[Bus]:
        """Open the bus, as each process does."""
        if self.name == "memory":
            return self._memory()
        if self.name == "embedded":
            return self._embedded()
        if self.name == cloud.CLOUD:
            return cloud.open_cloud_bus(self.project)
        return open_pubsub(self.project, self.emulator)

    @property
    def ignores_first_retry_delay(self) -> bool:
        return self.name not in {"memory", "embedded"}

    def provisioner(self) -> AbstractAsyncContextManager[Provisioner]:
        if self.name == "memory":
            return self._memory()
        if self.name == "embedded":
            return self._embedded()
        if self.name == cloud.CLOUD:
            return cloud.open_cloud_provisioner(self.project)
        return open_pubsub_provisioner(self.project, self.emulator)

    def pull_subscription(self, name: str) -> AbstractAsyncContextManager[PullSubscription]:
        if self.name == "memory":
            return nullcontext(MemoryPullSubscription(self.memory, name))
        if self.name == "embedded":
            return open_pull_subscription(BackendSettings("embedded", embedded_file=self.file), name)
        return open_pull_subscription(
            BackendSettings("gcp", self.project, pubsub_emulator=self.emulator), name
        )

    async def delete_topic(self, topic: str) -> None:
        """Delete a topic, as an operator does by hand; its subscriptions remain."""
        if self.name == "memory":
            del self.memory.topics[topic]
        elif self.name == "embedded":
            await delete_embedded_topic(self.file, topic)
        elif self.name == cloud.CLOUD:
            await delete_pubsub_topic(cloud.PROJECT, cloud.pubsub(), self.project + topic)
        else:
            await delete_pubsub_topic(self.project, self.emulator, topic)

    async def leave_behind(self, spec: SubscriptionSpec) -> None:
        """Create an expiring subscription whose process died long ago."""
        async with self.provisioner() as provisioner:
            inner = provisioner.provisioner if isinstance(provisioner, cloud.OwnProvisioner) else provisioner
            if isinstance(inner, PubsubProvisioner):
                inner.now = lambda: time.time() - 2 * DEAD_AFTER_SECONDS
            await provisioner.ensure_subscription(spec)

    @asynccontextmanager
    async def _memory(self) -> AsyncIterator[MemoryBus]:
        bus = MemoryBus(self.memory)
        yield bus
        bus.die()

    @asynccontextmanager
    async def _embedded(self) -> AsyncIterator[EmbeddedBus]:
        database = Database(self.file)
        bus = EmbeddedBus(database, Runtime())
        try:
            yield bus
        finally:
            await bus.close()
            await database.close()

    @asynccontextmanager
    async def peer(self, what: str, subscription: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run another process at this broker (tests.support.peer), and kill it in the end."""
        where = [str(self.file)] if self.name == "embedded" else [self.project, self.emulator]
        peer = ("tests.support.peer", what, subscription, self.name, *where)
        async with process_of(*peer, stdout=asyncio.subprocess.PIPE) as process:
            yield process


BrokerAt = Callable[[str], Broker]
"""Returns a broker by its name."""


@asynccontextmanager
async def process_of(
    module: str,
    *arguments: str,
    environ: Mapping[str, str] = {},
    stdout: int = asyncio.subprocess.DEVNULL,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a module as a process of its own, and kill it in the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        env={**os.environ, **environ},
        cwd=ROOT,
        stdout=stdout,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def delete_embedded_topic(file: Path, topic: str) -> None:
    database = Database(file)
    try:
        await database.write(lambda db: db.execute("DELETE FROM topic WHERE name = ?", (topic,)))
    finally:
        await database.close()


async def delete_pubsub_topic(project: str, emulator: str, topic: str) -> None:
    transport = aio_transport(PublisherGrpcAsyncIOTransport, emulator)
    await PublisherAsyncClient(transport=transport).delete_topic(topic=f"projects/{project}/topics/{topic}")
    await transport.close()
