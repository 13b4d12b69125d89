"""Streams that need no token, and cannot exhaust a server."""

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from sagakit.grpc.server import GrpcServer
from sagakit.grpc.stream_limit import MAX_STREAMS
from tests.support.eventually import eventually
from tests.support.grpcserver import registering

PARCELS = "com.example.Parcels"
STATUS = health_pb2.HealthCheckResponse
WATCH = health_pb2.HealthCheckRequest(service=PARCELS)


async def echo(request: bytes, _) -> bytes:
    return request


@pytest.fixture
async def server():
    server = GrpcServer("127.0.0.1", 0, [registering(PARCELS, {"Do": echo})], [PARCELS])
    await server.start()
    yield server
    await server.stop(0)


@pytest.fixture
async def channel(server: GrpcServer):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel


async def test_health_watches_are_limited_and_calls_go_through(server, channel):
    stub = health_pb2_grpc.HealthStub(channel)
    watches = [stub.Watch(WATCH) for _ in range(MAX_STREAMS)]
    assert [(await watch.read()).status for watch in watches] == [STATUS.NOT_SERVING] * MAX_STREAMS

    # With any other status gRPC's clients would not use the connection.
    assert await stub.Watch(WATCH).code() is grpc.StatusCode.UNIMPLEMENTED
    assert await channel.unary_unary(f"/{PARCELS}/Do")(b"hello", timeout=5) == b"hello"
    assert (await stub.Check(WATCH, timeout=5)).status == STATUS.NOT_SERVING
    await server.set_serving(True)
    assert [(await watch.read()).status for watch in watches] == [STATUS.SERVING] * MAX_STREAMS

    watches[0].cancel()

    async def may_watch() -> bool:
        watch = stub.Watch(WATCH)
        try:
            return bool(await watch.read() is not grpc.aio.EOF)
        except grpc.aio.AioRpcError:
            return False
        finally:
            watch.cancel()

    await eventually(may_watch)


async def test_reflection_streams_are_limited(channel):
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    streams = [stub.ServerReflectionInfo() for _ in range(MAX_STREAMS)]
    for stream in streams:
        await stream.write(request)
        assert (await stream.read()).list_services_response.service

    assert await stub.ServerReflectionInfo().code() is grpc.StatusCode.RESOURCE_EXHAUSTED
