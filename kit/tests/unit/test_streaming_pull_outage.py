"""A subscription that is opened while the broker cannot be reached."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.pubsub_v1 import types

from sagakit.backends.gcp.pubsub import open_pubsub
from sagakit.bus import Delivery
from sagakit.ctl.local.ports import free_ports

RECEIVE_TIMEOUT_SECONDS = 8.0
"""A failed connection attempt is repeated after at most 2 s; after 5 streams the client pauses for 10 s."""


@asynccontextmanager
async def out_of_order(port: int, attempts: int) -> AsyncIterator[asyncio.Event]:
    """Close each connection to that port at once; yields an event that is set after `attempts`."""
    seen, enough = 0, asyncio.Event()

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen += 1
        if seen >= attempts:
            enough.set()
        writer.close()

    async with await asyncio.start_server(close, "127.0.0.1", port):
        yield enough


class Broker:
    """A subscription with one message, which it leases to the stream that was opened first."""

    def __init__(self) -> None:
        self.streams = 0

    async def pull(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        self.streams += 1
        if self.streams == 1:
            message = types.PubsubMessage(data=b"paid", message_id="1")
            received = types.ReceivedMessage(ack_id="1", message=message)
            yield types.StreamingPullResponse.serialize(
                types.StreamingPullResponse(received_messages=[received])
            )
        async for _ in requests:
            pass

    @asynccontextmanager
    async def serving(self, port: int) -> AsyncIterator[None]:
        handlers = {"StreamingPull": grpc.stream_stream_rpc_method_handler(self.pull)}
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("google.pubsub.v1.Subscriber", handlers),)
        )
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        try:
            yield
        finally:
            await server.stop(None)


async def test_messages_are_received_once_the_broker_is_reached_and_by_the_only_stream():
    broker, received = Broker(), asyncio.Queue[Delivery]()
    (port,) = free_ports(1)
    async with open_pubsub("a-project", f"127.0.0.1:{port}") as bus:
        async with out_of_order(port, attempts=2) as tried:
            bus.subscribe("a-subscription", received.put_nowait, max_outstanding=10)
            await asyncio.wait_for(tried.wait(), 30)

        async with broker.serving(port):
            delivery = await asyncio.wait_for(received.get(), RECEIVE_TIMEOUT_SECONDS)
            delivery.ack()

            assert delivery.message.data == b"paid"
            assert broker.streams == 1
            await bus.close()
