"""The gRPC server of a service: health, reflection, deadlines, and what a caller hears of an error."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status
from structlog.testing import capture_logs

from rpc.purchase_pb2 import DESCRIPTOR
from rpc.purchase_pb2_grpc import PurchaseServicer, add_PurchaseServicer_to_server
from sagakit import deadline
from sagakit.application import Application
from sagakit.errors import (
    Contention,
    FailedPrecondition,
    Forbidden,
    InvalidArgument,
    NotFound,
    OutcomeUnknown,
    Poison,
    Rejected,
    SagaError,
    Unauthenticated,
    Unavailable,
)
from sagakit.grpc.errors import DEFAULT_DEADLINE_SECONDS
from sagakit.grpc.server import MAX_MESSAGE_BYTES, GrpcServer
from tests.support.grpcserver import registering

PURCHASE = DESCRIPTOR.services_by_name["Purchase"].full_name
SERVING = health_pb2.HealthCheckResponse.SERVING
APP = Application(error_domain="shop.example")
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@asynccontextmanager
async def a_server(
    behaviour: Callable[[bytes, Any], Any], **how: Any
) -> AsyncIterator[tuple[GrpcServer, grpc.aio.Channel]]:
    register = registering(PURCHASE, {"Do": behaviour})
    server = GrpcServer("127.0.0.1", 0, [register], [PURCHASE], application=APP, **how)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        try:
            yield server, channel
        finally:
            await server.stop(0)


async def call(channel: grpc.aio.Channel, request: bytes = b"", timeout: float | None = 5) -> bytes:
    return await channel.unary_unary(f"/{PURCHASE}/Do")(request, timeout=timeout)


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


async def test_calls_are_answered():
    async with a_server(echo) as (_, channel):
        assert await call(channel, b"hello") == b"hello"


async def test_what_a_call_calls_has_what_is_left_of_its_time():
    async def left(request: bytes, context: Any) -> bytes:
        return b"%.3f" % deadline.remaining(100)

    async with a_server(left) as (_, channel):
        assert 1 < float(await call(channel, timeout=2)) < 2.1  # gRPC rounds up
        assert float(await call(channel, timeout=None)) <= DEFAULT_DEADLINE_SECONDS
    assert deadline.remaining(100) == 100


async def test_it_is_not_serving_until_it_is_told_so_and_again_when_it_drains():
    async with a_server(echo) as (server, channel):
        for service in ("", PURCHASE):
            assert await health(channel, service) == NOT_SERVING

        await server.set_serving(True)
        for service in ("", PURCHASE):
            assert await health(channel, service) == SERVING

        await server.set_serving(False)
        for service in ("", PURCHASE):
            assert await health(channel, service) == NOT_SERVING


async def test_the_health_of_an_unknown_service_is_not_found_and_no_defect():
    async with a_server(echo) as (_, channel):
        with capture_logs() as logs, pytest.raises(grpc.aio.AioRpcError) as raised:
            await health(channel, "unheard.Of")

    assert raised.value.code() == grpc.StatusCode.NOT_FOUND
    assert logs == []


async def test_reflection_lists_the_services():
    async with a_server(echo) as (server, _):

        def listed() -> set[str]:
            with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                return set(ProtoReflectionDescriptorDatabase(channel).get_services())

        services = await asyncio.to_thread(listed)

    assert services == {PURCHASE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


async def test_a_server_that_is_not_reflected_says_nothing_of_its_services():
    async with a_server(echo, reflection=False) as (server, channel):

        def listed() -> None:
            with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                ProtoReflectionDescriptorDatabase(channel).get_services()

        with pytest.raises(grpc.RpcError) as refused:
            await asyncio.to_thread(listed)

        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert await call(channel, b"served all the same") == b"served all the same"


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (InvalidArgument("count", "too many"), grpc.StatusCode.INVALID_ARGUMENT, "invalid-argument"),
        (NotFound("unknown-cart", "no such cart"), grpc.StatusCode.NOT_FOUND, "unknown-cart"),
        (
            FailedPrecondition("cart-closed", "it is closed"),
            grpc.StatusCode.FAILED_PRECONDITION,
            "cart-closed",
        ),
        (Unauthenticated("who is it?"), grpc.StatusCode.UNAUTHENTICATED, "unauthenticated"),
        (Forbidden("not-an-operator", "no"), grpc.StatusCode.PERMISSION_DENIED, "not-an-operator"),
        (Contention("others"), grpc.StatusCode.ABORTED, "contention"),
        (Unavailable("gone"), grpc.StatusCode.UNAVAILABLE, "unavailable"),
        (OutcomeUnknown("no answer"), grpc.StatusCode.DEADLINE_EXCEEDED, "outcomeunknown"),
        (Poison("unstorable"), grpc.StatusCode.INTERNAL, "poison"),
        (Rejected("odd", "odd"), grpc.StatusCode.INTERNAL, "odd"),
        (SagaError("odd"), grpc.StatusCode.INTERNAL, "sagaerror"),
    ],
)
async def test_every_error_has_its_code_and_its_reason(error: SagaError, code: grpc.StatusCode, reason: str):
    raised = await failure(raising(error))

    assert raised.code() == code
    assert raised.details() == str(error)
    status = rpc_status.from_call(raised)
    assert code_pb2.Code.Name(status.code) == code.name
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == (reason, APP.error_domain)


def reason_of(raised: grpc.aio.AioRpcError) -> str:
    """The reason that AIP-193 has every error say."""
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(raised)
    assert (status.details[0].Unpack(info), info.domain) == (True, APP.error_domain)
    return info.reason


async def test_what_is_no_message_is_the_callers_fault():
    server = GrpcServer(
        "127.0.0.1", 0, [partial(add_PurchaseServicer_to_server, PurchaseServicer())], [], application=APP
    )
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await channel.unary_unary(f"/{PURCHASE}/GetCart")(b"\xff\xff", timeout=5)
    await server.stop(0)

    assert (raised.value.code(), reason_of(raised.value)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "invalid-argument",
    )


async def test_a_method_that_there_is_not_is_unimplemented_and_says_why():
    async with a_server(echo) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await channel.unary_unary(f"/{PURCHASE}/Undo")(b"", timeout=5)

    assert (raised.value.code(), reason_of(raised.value)) == (
        grpc.StatusCode.UNIMPLEMENTED,
        "unknown-method",
    )


async def test_why_an_argument_is_invalid_is_said_where_there_is_more_to_say():
    raised = await failure(raising(InvalidArgument("commandid", "used", "commandid-reused")))

    request = error_details_pb2.BadRequest()
    assert rpc_status.from_call(raised).details[1].Unpack(request)
    assert [violation.reason for violation in request.field_violations] == ["commandid-reused"]


async def test_a_malformed_argument_is_named():
    raised = await failure(raising(InvalidArgument("count", "count must be from 1 to 5")))

    request = error_details_pb2.BadRequest()
    assert rpc_status.from_call(raised).details[1].Unpack(request)
    [violation] = request.field_violations
    assert (violation.field, violation.description) == ("count", "count must be from 1 to 5")


async def test_every_error_of_the_tree_is_tried_above():
    def below(kind: type[SagaError]) -> set[type[SagaError]]:
        return {kind}.union(*(below(each) for each in kind.__subclasses__()))

    marks = test_every_error_has_its_code_and_its_reason.pytestmark
    assert {type(error) for error, _, _ in marks[0].args[1]} == below(SagaError)


async def test_a_defect_tells_the_caller_nothing_and_the_log_everything():
    with capture_logs() as logs:
        raised = await failure(raising(RuntimeError("the password is 1234")))

    assert (raised.code(), reason_of(raised)) == (grpc.StatusCode.INTERNAL, "internal")
    assert "1234" not in str(raised.details()) + str(raised.trailing_metadata())
    [line] = logs
    assert (line["event"], line["log_level"], line["exc_info"]) == ("call failed", "error", True)


async def test_a_refusal_is_no_news_but_a_backend_that_is_away_is():
    with capture_logs() as logs:
        await failure(raising(NotFound("unknown-cart", "no such cart")))
    assert logs == []

    with capture_logs() as logs:
        await failure(raising(Unavailable("gone")))
    assert [line["log_level"] for line in logs] == ["warning"]


async def test_a_defect_ends_no_server():
    """The trap: exiting the process on an error."""

    async def behaviour(request: bytes, context: Any) -> bytes:
        return b"%d" % (1 // len(request))

    async with a_server(behaviour) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError):
            await call(channel, b"")

        assert await call(channel, b"x") == b"1"


async def test_a_call_past_its_deadline_is_cancelled():
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


async def test_a_call_without_a_deadline_gets_one():
    async def behaviour(request: bytes, context: Any) -> bytes:
        # Nothing else has a timer that far ahead.
        loop = asyncio.get_running_loop()
        latest = max(timer.when() for timer in loop._scheduled if not timer.cancelled())
        return b"%f" % (latest - loop.time())

    async with a_server(behaviour) as (_, channel):
        seconds = float(await call(channel, timeout=None))

    assert DEFAULT_DEADLINE_SECONDS - 1 < seconds <= DEFAULT_DEADLINE_SECONDS


async def test_a_message_that_is_too_big_is_refused():
    raised = await failure(echo, request=b"x" * (MAX_MESSAGE_BYTES + 1))

    assert raised.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_port_that_is_taken_is_an_error():
    async with a_server(echo) as (server, _):
        with pytest.raises(OSError, match=f"127.0.0.1:{server.port}"):
            await GrpcServer("127.0.0.1", server.port, [], []).start()


async def test_stop_lets_calls_under_way_finish():
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def behaviour(request: bytes, context: Any) -> bytes:
        begun.set()
        await go_on.wait()
        return b"done"

    async with a_server(behaviour) as (server, channel):
        answer = asyncio.ensure_future(call(channel))
        await begun.wait()
        stopping = asyncio.create_task(server.stop(5))
        await asyncio.sleep(0.05)
        assert not stopping.done()
        go_on.set()

        assert await answer == b"done"
        await asyncio.wait_for(stopping, 5)


async def test_stop_lets_calls_that_are_given_up_tidy_up():
    begun, tidied = asyncio.Event(), asyncio.Event()

    async def behaviour(request: bytes, context: Any) -> bytes:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            tidied.set()
        return b"never"

    async with a_server(behaviour) as (server, channel):
        answer = asyncio.ensure_future(call(channel))
        await begun.wait()
        answer.cancel()
        await server.stop(5)

        assert tidied.is_set()


async def test_stopping_what_never_started_is_fine():
    await GrpcServer("127.0.0.1", 0, [], []).stop(1)
