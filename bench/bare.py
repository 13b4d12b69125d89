"""Bare asyncio clients of both emulators: the calls of an order without the suite's logic."""

import asyncio
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.pubsub_v1 import types as pubsub
from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport

from sagakit.backends.gcp.channels import EMULATOR_OPTIONS
from sagakit.backends.gcp.datastore import open_datastore
from sagakit.tables import Delete, Entity, Insert, Key, Tables, Update

BODY = "x" * 400
"""About the size of a ticket, a reservation or an outbox row."""
WAITING: Entity = {"body": BODY, "due": "0:0"}
"""An entity with the one indexed property, as a sweeper finds it."""

_Publish: Any = pubsub.PublishRequest.pb()


class Bare:
    """Clients of a database and a broker, with keys and topics of this run."""

    def __init__(self, project: str, tables: Tables, broker: grpc.aio.Channel) -> None:
        self._project = project
        self.tables = tables
        self._publisher = PublisherAsyncClient(transport=PublisherGrpcAsyncIOTransport(channel=broker))
        self._subscriber = SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=broker))
        self._run = uuid.uuid4().hex[:8]
        self._numbers = itertools.count()
        self._pulls: list[asyncio.Task[None]] = []
        self.arrivals: dict[str, list[asyncio.Queue[float]]] = {}
        """Arrival times of messages, by topic and subscriber."""

    def key(self) -> Key:
        """Return an unused key."""
        return Key("Raw", f"{self._run}.{next(self._numbers)}")

    async def create(self, count: int) -> list[Key]:
        """Create `count` entities in one commit."""
        keys = [self.key() for _ in range(count)]
        await self.tables.commit([Insert(key, WAITING) for key in keys])
        return keys

    async def transact(self, reads: list[Key], updates: list[Key], inserts: int) -> list[Key]:
        """Look up `reads`, then commit `updates` and new entities. Return the keys of the new ones."""
        found = await self.tables.lookup(reads)
        new = [self.key() for _ in range(inserts)]
        await self.tables.commit(
            [
                *(Update(key, {**WAITING, "at": new[0].name}, found[key].version) for key in updates),
                *(Insert(key, WAITING) for key in new),
            ]
        )
        return new

    async def delete(self, keys: list[Key]) -> None:
        await self.tables.commit([Delete(key) for key in keys])

    async def publish(self, topic: str, count: int = 1) -> None:
        messages = [{"data": BODY.encode(), "attributes": {"eventid": self._run}}] * count
        request = _Publish(topic=self._topic(topic), messages=messages)
        await self._publisher.publish(pubsub.PublishRequest.wrap(request), retry=None, timeout=30)

    async def create_topic(self, topic: str, subscribers: int) -> None:
        """Create the topic and its subscribers, which acknowledge messages and record their `arrivals`."""
        await self._publisher.create_topic(name=self._topic(topic))
        for number in range(subscribers):
            name = f"projects/{self._project}/subscriptions/raw.{self._run}.{topic}.{number}"
            await self._subscriber.create_subscription(name=name, topic=self._topic(topic))
            arrivals: asyncio.Queue[float] = asyncio.Queue()
            self._pulls.append(asyncio.create_task(self._pull(name, arrivals)))
            self.arrivals.setdefault(topic, []).append(arrivals)

    async def close(self) -> None:
        for pull in self._pulls:
            pull.cancel()
        await asyncio.gather(*self._pulls, return_exceptions=True)

    async def _pull(self, name: str, arrivals: "asyncio.Queue[float]") -> None:
        opening = pubsub.StreamingPullRequest(subscription=name, stream_ack_deadline_seconds=60)
        closed = asyncio.Event()

        async def requests() -> AsyncIterator[pubsub.StreamingPullRequest]:
            yield opening
            await closed.wait()

        try:
            acks: set[asyncio.Task[Any]] = set()
            async for response in await self._subscriber.streaming_pull(requests()):
                received = pubsub.StreamingPullResponse.pb(response).received_messages
                for _ in received:
                    arrivals.put_nowait(time.perf_counter())
                ids = [each.ack_id for each in received]
                acks.add(asyncio.create_task(self._subscriber.acknowledge(subscription=name, ack_ids=ids)))
        finally:
            closed.set()

    def _topic(self, name: str) -> str:
        return f"projects/{self._project}/topics/raw.{self._run}.{name}"


@asynccontextmanager
async def bare(environ: Mapping[str, str]) -> AsyncIterator[Bare]:
    """Open clients of the emulators that `environ` names."""
    async with (
        open_datastore("raw", "", environ["DATASTORE_EMULATOR_HOST"], call_timeout_seconds=30) as tables,
        grpc.aio.insecure_channel(environ["PUBSUB_EMULATOR_HOST"], options=EMULATOR_OPTIONS) as broker,
    ):
        clients = Bare("raw", tables, broker)
        try:
            yield clients
        finally:
            await clients.close()
