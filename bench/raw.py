"""What the emulators themselves allow: the calls of an order, made by bare clients with no logic of ours."""

import asyncio
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc
from google.cloud.datastore_v1 import DatastoreAsyncClient, types
from google.cloud.datastore_v1.services.datastore.transports import DatastoreGrpcAsyncIOTransport
from google.pubsub_v1 import types as pubsub
from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport

from sagakit.gcp.channels import CHANNEL_OPTIONS
from sagakit.gcp.values import to_entity, to_key
from sagakit.tables import Key

BODY = "x" * 400
"""About what a ticket, a reservation and an outbox row have in them."""
RED = (("checked-out", 1, 3, 3), ("reserved", 2, 4, 2), ("approved", 1, 3, 3))
"""The steps of a red order: what each says, keys looked up, entities written, subscribers of what is said."""
LINGER_SECONDS = 0.05
MAX_BATCH = 200
RATE_SECONDS = 180.0

_Lookup: Any = types.LookupRequest.pb()
_Commit: Any = types.CommitRequest.pb()
_Mutation: Any = types.Mutation.pb()
_Partition: Any = types.PartitionId.pb()
_Publish: Any = pubsub.PublishRequest.pb()


class Bare:
    """Asyncio clients of both emulators."""

    def __init__(self, project: str, datastore: grpc.aio.Channel, broker: grpc.aio.Channel) -> None:
        self._project = project
        self._partition = _Partition(project_id=project)
        self._datastore = DatastoreAsyncClient(transport=DatastoreGrpcAsyncIOTransport(channel=datastore))
        self._publisher = PublisherAsyncClient(transport=PublisherGrpcAsyncIOTransport(channel=broker))
        self._subscriber = SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=broker))
        self._run = uuid.uuid4().hex[:8]
        self._numbers = itertools.count()
        self._pulls: list[asyncio.Task[None]] = []
        self.arrivals: dict[str, list[asyncio.Queue[float]]] = {}
        """When messages arrived, by topic and subscriber."""

    async def step(self, reads: int, writes: int) -> None:
        """A lookup of so many keys, and a commit of so many new entities."""
        keys = [self._key() for _ in range(max(reads, writes))]
        lookup = _Lookup(project_id=self._project, keys=keys[:reads])
        await self._datastore.lookup(types.LookupRequest.wrap(lookup), retry=None, timeout=30)
        await self._commit([_Mutation(insert=to_entity(key, {"body": BODY})) for key in keys[:writes]])

    async def delete(self, rows: int) -> None:
        await self._commit([_Mutation(delete=self._key()) for _ in range(rows)])

    async def publish(self, topic: str, count: int = 1) -> None:
        messages = [{"data": BODY.encode(), "attributes": {"eventid": self._run}}] * count
        request = _Publish(topic=self._topic(topic), messages=messages)
        await self._publisher.publish(pubsub.PublishRequest.wrap(request), retry=None, timeout=30)

    async def make(self, topic: str, subscribers: int) -> None:
        """The topic; what its subscribers get is acknowledged, and told to the queue of `arrivals`."""
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
        over = asyncio.Event()

        async def requests() -> AsyncIterator[pubsub.StreamingPullRequest]:
            yield opening
            await over.wait()

        try:
            acks: set[asyncio.Task[Any]] = set()
            async for response in await self._subscriber.streaming_pull(requests()):
                received = pubsub.StreamingPullResponse.pb(response).received_messages
                for _ in received:
                    arrivals.put_nowait(time.perf_counter())
                ids = [each.ack_id for each in received]
                acks.add(asyncio.create_task(self._subscriber.acknowledge(subscription=name, ack_ids=ids)))
        finally:
            over.set()

    async def _commit(self, mutations: Sequence[Any]) -> None:
        commit = _Commit(
            project_id=self._project,
            mode=types.CommitRequest.Mode.TRANSACTIONAL,
            single_use_transaction={"read_write": {}},
            mutations=mutations,
        )
        await self._datastore.commit(types.CommitRequest.wrap(commit), retry=None, timeout=30)

    def _key(self) -> Any:
        return to_key(self._partition, Key("Raw", f"{self._run}.{next(self._numbers)}"))

    def _topic(self, name: str) -> str:
        return f"projects/{self._project}/topics/raw.{self._run}.{name}"


@asynccontextmanager
async def bare(environ: Mapping[str, str]) -> AsyncIterator[Bare]:
    """Clients of the emulators that `environ` names."""
    async with (
        grpc.aio.insecure_channel(environ["DATASTORE_EMULATOR_HOST"], options=CHANNEL_OPTIONS) as datastore,
        grpc.aio.insecure_channel(environ["PUBSUB_EMULATOR_HOST"], options=CHANNEL_OPTIONS) as broker,
    ):
        clients = Bare("raw", datastore, broker)
        try:
            yield clients
        finally:
            await clients.close()


async def raw_chain(environ: Mapping[str, str], rounds: int, hops: int) -> list[float]:
    """Milliseconds from the first publish to the last commit, one round at a time.

    Each hop: received by streaming pull, one lookup, one commit, published on.
    """
    async with bare(environ) as clients:
        topics = [f"hop-{number}" for number in range(hops)]
        for topic in topics:
            await clients.make(topic, subscribers=1)
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            for topic in topics:
                await clients.publish(topic)
                await clients.arrivals[topic][0].get()
                await clients.step(reads=1, writes=3)
            times.append((time.perf_counter() - began) * 1000)
        return times


async def raw_rate(environ: Mapping[str, str], clients: int, orders: int) -> float:
    """Red orders a second: their lookups, commits, publishes, deletes, deliveries and acknowledgements."""
    async with bare(environ) as wire:
        for topic, _, _, subscribers in RED:
            await wire.make(topic, subscribers)
        said = {topic: Batches(partial(wire.publish, topic)) for topic, *_ in RED}
        deleted = Batches(wire.delete, LINGER_SECONDS)
        numbers = iter(range(orders))

        async def worker() -> None:
            for _ in numbers:
                for topic, reads, writes, _ in RED:
                    await wire.step(reads, writes)
                    said[topic].add()
                    deleted.add()

        async with asyncio.timeout(RATE_SECONDS):
            began = time.perf_counter()
            await asyncio.gather(*(worker() for _ in range(clients)))
            for batches in (*said.values(), deleted):
                await batches.done()
            for queue in itertools.chain(*wire.arrivals.values()):
                for _ in range(orders):
                    await queue.get()
            return orders / (time.perf_counter() - began)


class Batches:
    """Does what is asked for in batches of what gathered while the last one was under way."""

    def __init__(self, do: Callable[[int], Awaitable[None]], linger_seconds: float = 0) -> None:
        self._do = do
        self._linger_seconds = linger_seconds
        self._waiting = 0
        self._doing: asyncio.Task[None] | None = None

    def add(self) -> None:
        self._waiting += 1
        if self._doing is None or self._doing.done():
            self._doing = asyncio.create_task(self._all())

    async def done(self) -> None:
        if self._doing is not None:
            await self._doing

    async def _all(self) -> None:
        while self._waiting:
            await asyncio.sleep(self._linger_seconds)
            batch, self._waiting = min(self._waiting, MAX_BATCH), max(0, self._waiting - MAX_BATCH)
            await self._do(batch)
