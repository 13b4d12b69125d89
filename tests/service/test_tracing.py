"""Export of traces: standard settings, a collector, and no cost if tracing is disabled."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from structlog.testing import capture_logs

from kit.tests.unit.test_spans import BAD, GOOD, TRACE_ID
from rpc import purchase_pb2
from sagakit.settings import SettingsError
from sagakit.telemetry.tracing import FLUSH_TIMEOUT_SECONDS, exporters, open_tracer
from services.gateway.app import Lifecycle, create_app
from services.gateway.clients import Clients
from services.gateway.middleware import MiddlewareConfig
from tests.service.gateway_harness import Failure, client_of, fakes, targets_of
from tests.support.traces import Traces, service_of, trace_id_of

GET_CART = "/purchase/api/get_cart"
EXPORT = "opentelemetry.proto.collector.trace.v1.TraceService"


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({}, []),
        ({"OTEL_TRACES_EXPORTER": "none"}, []),
        ({"OTEL_TRACES_EXPORTER": " "}, []),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, ["otlp"]),
        ({"OTEL_TRACES_EXPORTER": "otlp, console"}, ["otlp", "console"]),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"}, ["otlp"]),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4317"}, ["otlp"]),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_TRACES_EXPORTER": "none"}, []),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "TRUE"}, []),
    ],
)
def test_standard_settings_select_the_exporters(environ, names):
    assert exporters(environ) == names


async def test_without_an_exporter_no_tracer_is_created_and_no_sdk_loaded():
    script = (
        "import asyncio, sys\n"
        "import services.gateway.__main__, services.purchase.__main__\n"
        "from sagakit.telemetry.tracing import open_tracer\n"
        "async def main():\n"
        "    async with open_tracer('purchase', {}) as tracer:\n"
        "        assert tracer is None\n"
        "asyncio.run(main())\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.exporter.otlp')])\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script), stdout=asyncio.subprocess.PIPE, env={**os.environ}
    )
    output, _ = await process.communicate()

    assert output == b"[]\n"


async def test_unknown_exporter_is_rejected():
    with pytest.raises(SettingsError, match="OTEL_TRACES_EXPORTER names 'nothing'"):
        async with open_tracer("stock", {"OTEL_TRACES_EXPORTER": "nothing"}):
            pass


@asynccontextmanager
async def a_collector(
    exported: list[ExportTraceServiceRequest], answers: asyncio.Event | None = None
) -> AsyncIterator[str]:
    """Start a collector and yield its endpoint. `answers`: it answers only once this event is set."""

    async def export(request: ExportTraceServiceRequest, _: object) -> ExportTraceServiceResponse:
        if answers is not None:
            await answers.wait()
        exported.append(request)
        return ExportTraceServiceResponse()

    handler = grpc.unary_unary_rpc_method_handler(
        export, ExportTraceServiceRequest.FromString, ExportTraceServiceResponse.SerializeToString
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(EXPORT, {"Export": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await server.stop(None)


@pytest.mark.parametrize(("more", "name"), [({}, "stock"), ({"OTEL_SERVICE_NAME": "our-stock"}, "our-stock")])
async def test_spans_are_exported_before_a_process_stops(monkeypatch, more, name):
    exported: list[ExportTraceServiceRequest] = []
    async with a_collector(exported) as endpoint:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_RESOURCE_ATTRIBUTES": "zone=b", **more}
        for variable, value in environ.items():
            monkeypatch.setenv(variable, value)

        async with open_tracer("stock", environ) as tracer:
            tracer.start_span("step").end()

    (resource,) = (each for request in exported for each in request.resource_spans)
    attributes = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert (attributes["service.name"], attributes["zone"]) == (name, "b")
    assert [span.name for scope in resource.scope_spans for span in scope.spans] == ["step"]


async def test_unresponsive_collector_does_not_block_shutdown(monkeypatch):
    async with a_collector([], answers=asyncio.Event()) as endpoint:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_TIMEOUT": "60"}
        for variable, value in environ.items():
            monkeypatch.setenv(variable, value)

        with capture_logs() as logs:
            async with open_tracer("stock", environ) as tracer:
                tracer.start_span("step").end()
                stopped_at = time.monotonic()

        assert time.monotonic() - stopped_at < FLUSH_TIMEOUT_SECONDS + 2
    assert [each["event"] for each in logs] == ["tracing", "trace export timed out on shutdown"]


@asynccontextmanager
async def a_gateway(traces: Traces, **answers):
    """Yield a client of a traced gateway with fake services."""
    async with fakes(**answers) as services:
        tracer = traces.tracer("gateway")
        app = create_app(
            Clients(targets_of(services.values()), 5, tracer), Lifecycle(), MiddlewareConfig(tracer=tracer)
        )
        async with client_of(app) as client:
            yield client


@pytest.mark.parametrize(
    "traceparent", [each.encode() for each in BAD if isinstance(each, str)], ids=range(11)
)
async def test_invalid_traceparent_starts_a_new_trace(traceparent):
    traces = Traces()
    async with a_gateway(traces) as client:
        headers = [(b"traceparent", traceparent), (b"tracestate", b"=," * 10_000)]
        answer = await client.post(GET_CART, json={"cartid": "c"}, headers=headers)

    assert answer.status_code == 200
    server, call = traces.spans
    assert (server.parent, call.parent.span_id) == (None, server.context.span_id)
    assert answer.headers["traceresponse"].split("-")[1] == trace_id_of(server)


async def test_two_traceparents_start_a_new_trace():
    traces = Traces()
    async with a_gateway(traces) as client:
        await client.get("/", headers=[(b"traceparent", GOOD.encode())] * 2)

    assert traces.spans[0].parent is None


async def test_request_spans_have_route_names_and_error_statuses():
    traces = Traces()
    broken = Failure(grpc.StatusCode.INTERNAL)
    async with a_gateway(traces, GetOrderTicket=[broken]) as client:
        await client.get("/v1/orders/o-1", headers={"traceparent": GOOD})
        await client.get("/nowhere")
        await client.request("BREW", "/nowhere")
        await client.get("/readyz")

    request, call, nowhere, brew = traces.spans
    assert {trace_id_of(request), trace_id_of(call)} == {TRACE_ID}
    assert (request.name, request.attributes["http.response.status_code"]) == (
        "GET /v1/orders/{orderid}",
        500,
    )
    assert (call.name, call.attributes["orderid"]) == (
        "com.example.service.purchase.Purchase/GetOrderTicket",
        "o-1",
    )
    assert [each.status.is_ok for each in (request, call, nowhere)] == [False, False, True]
    assert (nowhere.name, brew.name) == ("GET", "HTTP")
    assert {service_of(span) for span in traces.spans} == {"gateway"}


async def test_gateway_without_tracing_sends_no_traceresponse():
    ticket = purchase_pb2.GetCartResponse(cart=purchase_pb2.Cart(cartid="c"))
    async with fakes(GetCart=[ticket]) as services:
        app = create_app(Clients(targets_of(services.values()), 5), Lifecycle())
        async with client_of(app) as client:
            answer = await client.post(GET_CART, json={"cartid": "c"}, headers={"traceparent": GOOD})

    assert answer.status_code == 200
    assert "traceresponse" not in answer.headers
