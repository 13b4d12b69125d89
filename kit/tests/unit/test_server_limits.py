"""Limits of the gRPC server: connections, concurrent calls, metadata; and of file descriptors."""

import asyncio
import subprocess
import sys
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import pytest

from sagakit.descriptors import RESERVED_DESCRIPTORS
from sagakit.grpc.server import MAX_MESSAGE_BYTES, MAX_METADATA_BYTES, GrpcServer
from tests.support.grpcserver import registering

WAIT_SECONDS = 20


async def echo(request, context):
    return request


@asynccontextmanager
async def a_server(behaviour=echo, **how):
    server = GrpcServer("127.0.0.1", 0, [registering("test.Echo", {"Do": behaviour})], ["test.Echo"], **how)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0)


def channel(server):
    """A channel with a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 500)]
    return grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options)


def call(channel, **how):
    return channel.unary_unary("/test.Echo/Do")(b"", timeout=WAIT_SECONDS, **how)


async def test_silent_connections_are_closed_and_make_room_for_others():
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(a_server(max_connections=5))
        established = await stack.enter_async_context(channel(server))
        await call(established)
        silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(10)]
        fresh = await stack.enter_async_context(channel(server))

        await call(established)
        await call(fresh, wait_for_ready=True)
        async with asyncio.timeout(WAIT_SECONDS):
            for reader, writer in silent:
                await reader.read()
                writer.close()


async def test_metadata_up_to_the_limit_is_accepted_every_time():
    metadata = (("authorization", "x" * (MAX_METADATA_BYTES - 2_048)),)
    async with a_server() as server, channel(server) as client:
        for _ in range(20):
            await call(client, metadata=metadata)


@pytest.mark.parametrize(
    ("soft", "hard", "connections"),
    [(256, 4_096, 1_000), (1_024, 1_024, 1_024 - RESERVED_DESCRIPTORS), (200, 200, 100)],
)
def test_connections_fit_into_the_descriptors_after_the_soft_limit_is_raised(soft, hard, connections):
    code = "from sagakit.descriptors import connections_within as fit; print(fit(1_000), end='')"
    script = f'ulimit -Sn {soft}; ulimit -Hn {hard}; exec "$@"'
    environ = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        ["sh", "-c", script, "sh", sys.executable, "-c", code],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.endswith(str(connections))
    assert ("fewer connections than configured" in done.stdout) is (connections < 1_000)


async def test_message_above_the_size_limit_is_rejected():
    async with a_server() as server, channel(server) as connected:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await connected.unary_unary("/test.Echo/Do")(b"x" * (MAX_MESSAGE_BYTES + 1), timeout=WAIT_SECONDS)

    assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
