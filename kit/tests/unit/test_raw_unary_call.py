"""Raw calls send the same Google headers as the generated clients."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.cloud.datastore_v1 import DatastoreAsyncClient
from google.cloud.datastore_v1.services.datastore.transports import DatastoreGrpcAsyncIOTransport
from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport

from sagakit.backends.gcp.datastore import open_datastore
from sagakit.backends.gcp.pubsub import open_pubsub
from sagakit.bus import Message
from sagakit.tables import Insert, Key
from tests.support.grpcserver import Behaviour, serving

KEY = Key("Thing", "a")
Headers = dict[str, str]


def recording(received: list[Headers]) -> Behaviour:
    """Record the headers that Google's front ends read."""

    async def record(request: bytes, context: Any) -> bytes:
        received.append({name: value for name, value in context.invocation_metadata() if "goog" in name})
        return b""

    return record


async def headers_of(service: str, method: str, *calls: Callable[[str], Awaitable[None]]) -> list[Headers]:
    received: list[Headers] = []
    async with serving(service, {method: recording(received)}) as address:
        for call in calls:
            await call(address)
    return received


@pytest.mark.parametrize("database", ["", "orders"])
@pytest.mark.parametrize("method", ["Lookup", "Commit"])
async def test_datastore_receives_the_same_headers(method: str, database: str):
    async def raw(address: str) -> None:
        async with open_datastore("a-project", database, address) as tables:
            await (tables.lookup([KEY]) if method == "Lookup" else tables.commit([Insert(KEY, {})]))

    async def generated(address: str) -> None:
        transport = DatastoreGrpcAsyncIOTransport(channel=grpc.aio.insecure_channel(address))
        client = DatastoreAsyncClient(transport=transport)
        call = client.lookup if method == "Lookup" else client.commit
        await call({"project_id": "a-project", "database_id": database})
        await transport.close()

    ours, theirs = await headers_of("google.datastore.v1.Datastore", method, raw, generated)

    assert ours == theirs
    assert set(ours) == {"x-goog-api-client", "x-goog-request-params"}


async def test_pubsub_receives_the_same_headers():
    async def raw(address: str) -> None:
        async with open_pubsub("a-project", address) as bus:
            await bus.publish("a.topic", [Message(b"", {})])

    async def generated(address: str) -> None:
        transport = PublisherGrpcAsyncIOTransport(channel=grpc.aio.insecure_channel(address))
        await PublisherAsyncClient(transport=transport).publish(topic="projects/a-project/topics/a.topic")
        await transport.close()

    ours, theirs = await headers_of("google.pubsub.v1.Publisher", "Publish", raw, generated)

    assert ours == theirs
    assert set(ours) == {"x-goog-api-client", "x-goog-request-params"}
