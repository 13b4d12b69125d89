"""Spans of gRPC calls: one at each end, in one trace, with the status that the client receives."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from structlog.testing import capture_logs

from contract.shop import SHOP, message_attributes
from kit.tests.unit.test_spans import BAD, GOOD, TRACE_ID
from rpc import purchase_pb2 as pb
from rpc.purchase_pb2_grpc import PurchaseServicer, PurchaseStub, add_PurchaseServicer_to_server
from sagakit.errors import NotFound, Unavailable
from sagakit.grpc.server import GrpcServer
from sagakit.grpc.tracing import TracingClientInterceptor, TracingServerInterceptor
from sagakit.telemetry.traceparent import TRACEPARENT, current_trace_id
from tests.support.metrics import Measured
from tests.support.traces import Traces, service_of

PURCHASE = "com.example.service.purchase.Purchase"


class Scripted(PurchaseServicer):
    """Raises the given error, if any."""

    def __init__(self, error: Exception | None) -> None:
        self._error = error
        self.served_in: str | None = None

    async def GetOrderTicket(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.served_in = current_trace_id()
        if self._error is not None:
            raise self._error
        return pb.GetOrderTicketResponse(order_ticket=pb.OrderTicket(orderid=request.orderid))


@asynccontextmanager
async def a_call(
    traces: Traces, error: Exception | None = None, *, client: bool = False
) -> AsyncIterator[tuple[PurchaseStub, Scripted, grpc.aio.Channel]]:
    """A stub of a traced and measured server; of a traced client, if wanted."""
    servicer = Scripted(error)

    def register(server: Any) -> None:
        add_PurchaseServicer_to_server(servicer, server)

    server = GrpcServer(
        "127.0.0.1",
        0,
        [register],
        [PURCHASE],
        application=SHOP,
        tracing=TracingServerInterceptor(traces.tracer("server"), message_attributes),
        metrics=Measured().metrics,
    )
    await server.start()
    interceptors = [TracingClientInterceptor(traces.tracer("client"), message_attributes)] if client else None
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", interceptors=interceptors) as channel:
        try:
            yield PurchaseStub(channel), servicer, channel
        finally:
            await server.stop(0)


REQUEST = pb.GetOrderTicketRequest(orderid="o-1")


async def test_call_has_a_client_span_and_a_server_span_below_it():
    traces = Traces()

    async with a_call(traces, client=True) as (stub, servicer, _):
        answer = await stub.GetOrderTicket(REQUEST, metadata=[("authorization", "Bearer x")])

    assert answer.order_ticket.orderid == "o-1"
    caller, called = traces.spans
    assert called.parent.span_id == caller.context.span_id
    assert servicer.served_in == f"{caller.context.trace_id:032x}"
    assert [(service_of(span), span.kind) for span in (caller, called)] == [
        ("client", SpanKind.CLIENT),
        ("server", SpanKind.SERVER),
    ]
    for span in (caller, called):
        assert span.name == f"{PURCHASE}/GetOrderTicket"
        assert span.attributes == {
            "rpc.system.name": "grpc",
            "rpc.method": f"{PURCHASE}/GetOrderTicket",
            "rpc.response.status_code": "OK",
            "orderid": "o-1",
        }


@pytest.mark.parametrize(
    ("error", "code", "failed"),
    [
        (NotFound("unknown-order", "no"), "NOT_FOUND", False),
        (Unavailable("away"), "UNAVAILABLE", True),
        (ValueError("a bug"), "INTERNAL", True),
    ],
)
async def test_span_status_is_an_error_for_the_client_and_for_a_server_at_fault(error, code, failed):
    traces = Traces()

    async with a_call(traces, error, client=True) as (stub, _, _channel):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetOrderTicket(REQUEST)

    caller, called = traces.spans
    assert refused.value.code().name == code
    assert [span.attributes["rpc.response.status_code"] for span in (caller, called)] == [code, code]
    assert [span.attributes["orderid"] for span in (caller, called)] == ["o-1", "o-1"]
    assert not caller.status.is_ok
    assert called.status.is_ok is not failed


async def test_failed_call_is_logged_within_its_trace():
    traces = Traces()
    seen: list[str | None] = []

    class Watching(Unavailable):
        def __str__(self) -> str:
            seen.append(current_trace_id())
            return "away"

    with capture_logs() as logs:
        async with a_call(traces, Watching("away")) as (stub, _, _channel):
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.GetOrderTicket(REQUEST)

    assert "call failed" in [line["event"] for line in logs]
    assert seen[0] == f"{traces.spans[0].context.trace_id:032x}"


# gRPC itself rejects the others.
CARRIED = [each for each in BAD if isinstance(each, str) and each.isascii() and each.isprintable()]


@pytest.mark.parametrize("traceparent", [each for each in CARRIED if len(each) < 8_000])
async def test_malformed_traceparent_starts_a_new_trace(traceparent):
    traces = Traces()

    async with a_call(traces) as (stub, _, _channel):
        await stub.GetOrderTicket(REQUEST, metadata=[(TRACEPARENT, traceparent)])

    assert traces.spans[0].parent is None


async def test_call_continues_the_callers_trace():
    traces = Traces()

    async with a_call(traces) as (stub, servicer, _):
        await stub.GetOrderTicket(REQUEST, metadata=[(TRACEPARENT, GOOD)])

    assert servicer.served_in == TRACE_ID


async def test_unknown_method_and_health_check_have_no_span():
    traces = Traces()

    async with a_call(traces) as (_, _servicer, channel):
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.unary_unary(f"/{PURCHASE}/DropTables")(b"")
        await channel.unary_unary("/grpc.health.v1.Health/Check")(b"")

    assert traces.spans == []
    assert trace.get_current_span() is trace.INVALID_SPAN
