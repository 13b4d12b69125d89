"""The gRPC server of a service: health, reflection, deadlines, and the status of errors."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status
from structlog.testing import capture_logs

from sagakit import deadline, errors
from sagakit.application import Application
from sagakit.grpc.errors import DEFAULT_DEADLINE_SECONDS
from sagakit.grpc.server import GrpcServer
from tests.support.grpcserver import registering

PARCELS = "com.example.Parcels"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
APP = Application(error_domain="shop.example")


@asynccontextmanager
async def a_server(
    behaviour: Callable[[bytes, Any], Any], **how: Any
) -> AsyncIterator[tuple[GrpcServer, grpc.aio.Channel]]:
    register = registering(PARCELS, {"Do": behaviour})
    server = GrpcServer("127.0.0.1", 0, [register], [PARCELS], application=APP, **how)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        try:
            yield server, channel
        finally:
            await server.stop(0)


async def call(channel: grpc.aio.Channel, request: bytes = b"", timeout: float | None = 5) -> bytes:
    return await channel.unary_unary(f"/{PARCELS}/Do")(request, timeout=timeout)


async def failure(behaviour: Callable[[bytes, Any], Any], **how: Any) -> grpc.aio.AioRpcError:
    async with a_server(behaviour) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(channel, **how)
    return raised.value


def raising(error: Exception) -> Callable[[bytes, Any], Any]:
    async def behaviour(request: bytes, context: Any) -> bytes:
        raise error

    return behaviour


async def echo(request: bytes, context: Any) -> bytes:
    return request


async def health(channel: grpc.aio.Channel, service: str = "") -> int:
    request = health_pb2.HealthCheckRequest(service=service)
    return (await health_pb2_grpc.HealthStub(channel).Check(request, timeout=5)).status


async def test_deadline_of_a_call_is_passed_on():
    async def left(request: bytes, context: Any) -> bytes:
        return b"%.3f" % deadline.remaining(100)

    async with a_server(left) as (_, channel):
        assert 5 < float(await call(channel, timeout=20)) < 20.2  # gRPC rounds up
        assert float(await call(channel, timeout=None)) <= DEFAULT_DEADLINE_SECONDS
    assert deadline.remaining(100) == 100


async def test_health_is_not_serving_before_start_and_while_draining():
    async with a_server(echo) as (server, channel):
        seen = [[await health(channel, service) for service in ("", PARCELS)]]
        for serving in (True, False):
            await server.set_serving(serving)
            seen.append([await health(channel, service) for service in ("", PARCELS)])

    assert seen == [[NOT_SERVING] * 2, [SERVING] * 2, [NOT_SERVING] * 2]


async def test_health_of_an_unknown_service_is_not_found():
    async with a_server(echo) as (_, channel):
        with capture_logs() as logs, pytest.raises(grpc.aio.AioRpcError) as raised:
            await health(channel, "unknown.Service")

    assert raised.value.code() == grpc.StatusCode.NOT_FOUND
    assert logs == []


async def test_reflection_lists_the_services_unless_it_is_turned_off():
    def listed(port: int) -> set[str]:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            return set(ProtoReflectionDescriptorDatabase(channel).get_services())

    async with a_server(echo) as (server, _):
        services = await asyncio.to_thread(listed, server.port)
    async with a_server(echo, reflection=False) as (server, channel):
        with pytest.raises(grpc.RpcError) as raised:
            await asyncio.to_thread(listed, server.port)
        assert await call(channel, b"hello") == b"hello"

    assert services == {PARCELS, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (errors.InvalidArgument("count", "too many"), grpc.StatusCode.INVALID_ARGUMENT, "invalid-argument"),
        (errors.NotFound("unknown-cart", "unknown cart"), grpc.StatusCode.NOT_FOUND, "unknown-cart"),
        (errors.FailedPrecondition("closed", "it is"), grpc.StatusCode.FAILED_PRECONDITION, "closed"),
        (errors.Unauthenticated("a token is needed"), grpc.StatusCode.UNAUTHENTICATED, "unauthenticated"),
        (errors.MissingToken("a token is needed"), grpc.StatusCode.UNAUTHENTICATED, "unauthenticated"),
        (errors.Forbidden("not-an-operator", "no"), grpc.StatusCode.PERMISSION_DENIED, "not-an-operator"),
        (errors.Contention("others"), grpc.StatusCode.ABORTED, "contention"),
        (errors.Unavailable("unreachable"), grpc.StatusCode.UNAVAILABLE, "unavailable"),
        (errors.OutcomeUnknown("no response"), grpc.StatusCode.DEADLINE_EXCEEDED, "outcome-unknown"),
        (errors.Poison("unstorable"), grpc.StatusCode.INTERNAL, "poison"),
        (errors.Unchangeable("a filter"), grpc.StatusCode.INTERNAL, "unchangeable"),
        (errors.Rejected("odd", "odd"), grpc.StatusCode.INTERNAL, "odd"),
        (errors.SagaError("odd"), grpc.StatusCode.INTERNAL, "saga-error"),
    ],
)
async def test_error_becomes_a_status(error: errors.SagaError, code: grpc.StatusCode, reason: str):
    raised = await failure(raising(error))

    assert raised.code() == code
    assert raised.details() == str(error)
    assert code_pb2.Code.Name(rpc_status.from_call(raised).code) == code.name
    assert reason_of(raised) == reason


def reason_of(raised: grpc.aio.AioRpcError) -> str:
    """Return the reason, which AIP-193 requires of every error."""
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(raised)
    assert (status.details[0].Unpack(info), info.domain) == (True, APP.error_domain)
    return info.reason


@pytest.mark.parametrize(
    ("method", "code", "reason"),
    [
        ("GetParcel", grpc.StatusCode.INVALID_ARGUMENT, "invalid-argument"),
        ("Undo", grpc.StatusCode.UNIMPLEMENTED, "unknown-method"),
    ],
)
async def test_malformed_message_or_unknown_method_has_a_reason(method, code, reason):
    parsing = health_pb2.HealthCheckRequest.FromString
    handlers = {"GetParcel": grpc.unary_unary_rpc_method_handler(echo, request_deserializer=parsing)}
    generated = grpc.method_handlers_generic_handler(PARCELS, handlers)

    def register(server: grpc.aio.Server) -> None:
        server.add_generic_rpc_handlers((generated,))

    server = GrpcServer("127.0.0.1", 0, [register], [], application=APP)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await channel.unary_unary(f"/{PARCELS}/{method}")(b"\xff\xff", timeout=5)
    await server.stop(0)

    assert (raised.value.code(), reason_of(raised.value)) == (code, reason)


async def test_invalid_argument_names_its_field_and_why():
    raised = await failure(raising(errors.InvalidArgument("commandid", "was used", "commandid-reused")))

    request = error_details_pb2.BadRequest()
    assert rpc_status.from_call(raised).details[1].Unpack(request)
    [violation] = request.field_violations
    expected = ("commandid", "was used", "commandid-reused")
    assert (violation.field, violation.description, violation.reason) == expected


async def test_every_error_class_is_among_those_tested():
    def below(kind: type[errors.SagaError]) -> set[type[errors.SagaError]]:
        return {kind}.union(*(below(each) for each in kind.__subclasses__()))

    marks = test_error_becomes_a_status.pytestmark
    assert {type(error) for error, _, _ in marks[0].args[1]} == below(errors.SagaError)


async def test_unexpected_error_is_logged_and_hidden_and_the_server_survives():
    """Known mistake: the process exits on an error."""

    async def behaviour(request: bytes, context: Any) -> bytes:
        if not request:
            raise RuntimeError("the password is 1234")
        return request

    async with a_server(behaviour) as (_, channel):
        with capture_logs() as logs, pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(channel, b"")
        assert await call(channel, b"x") == b"x"

    assert (raised.value.code(), reason_of(raised.value)) == (grpc.StatusCode.INTERNAL, "internal")
    assert "1234" not in str(raised.value.details()) + str(raised.value.trailing_metadata())
    [line] = logs
    assert (line["event"], line["log_level"], line["exc_info"]) == ("call failed", "error", True)


async def test_rejected_calls_are_not_logged_and_outages_are():
    with capture_logs() as logs:
        await failure(raising(errors.NotFound("unknown-cart", "unknown cart")))
    assert logs == []

    with capture_logs() as logs:
        await failure(raising(errors.Unavailable("unreachable")))
    assert [line["log_level"] for line in logs] == ["warning"]


async def test_call_is_cancelled_at_its_deadline():
    cancelled = asyncio.Event()

    async def behaviour(request: bytes, context: Any) -> bytes:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with a_server(behaviour) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(channel, timeout=0.1)
        await asyncio.wait_for(cancelled.wait(), 2)

    assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_call_without_a_deadline_gets_the_default():
    async def behaviour(request: bytes, context: Any) -> bytes:
        # No other timer is that far ahead.
        loop = asyncio.get_running_loop()
        latest = max(timer.when() for timer in loop._scheduled if not timer.cancelled())
        return b"%f" % (latest - loop.time())

    async with a_server(behaviour) as (_, channel):
        seconds = float(await call(channel, timeout=None))

    assert DEFAULT_DEADLINE_SECONDS - 1 < seconds <= DEFAULT_DEADLINE_SECONDS


async def test_port_in_use_is_an_error():
    async with a_server(echo) as (server, _):
        with pytest.raises(OSError, match=f"127.0.0.1:{server.port}"):
            await GrpcServer("127.0.0.1", server.port, [], []).start()


async def test_stop_waits_for_current_calls():
    begun, proceed = asyncio.Event(), asyncio.Event()

    async def behaviour(request: bytes, context: Any) -> bytes:
        begun.set()
        await proceed.wait()
        return b"done"

    async with a_server(behaviour) as (server, channel):
        response = asyncio.ensure_future(call(channel))
        await begun.wait()
        stopping = asyncio.create_task(server.stop(5))
        await asyncio.sleep(0.05)
        assert not stopping.done()
        proceed.set()

        assert await response == b"done"
        await asyncio.wait_for(stopping, 5)


async def test_stop_waits_for_the_cleanup_of_cancelled_calls():
    begun, cleaned_up = asyncio.Event(), asyncio.Event()

    async def behaviour(request: bytes, context: Any) -> bytes:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            cleaned_up.set()
        return b"never"

    async with a_server(behaviour) as (server, channel):
        response = asyncio.ensure_future(call(channel))
        await begun.wait()
        response.cancel()
        await server.stop(5)

        assert cleaned_up.is_set()


async def test_server_that_was_not_started_can_be_stopped():
    await GrpcServer("127.0.0.1", 0, [], []).stop(1)
