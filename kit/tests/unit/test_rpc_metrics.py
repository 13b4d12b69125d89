"""Metrics of gRPC calls and of the health status, and the endpoint that serves all metrics."""

import socket
import subprocess
import sys
from contextlib import asynccontextmanager

import grpc
import httpx
import pytest

from sagakit.errors import NotFound
from sagakit.grpc.server import GrpcServer
from sagakit.settings import SettingsError
from sagakit.telemetry import metrics
from sagakit.telemetry.instruments import NO_METRICS
from sagakit.telemetry.prometheus import serve_metrics
from tests.support.grpcserver import registering
from tests.support.metrics import Measured, parsed

SERVICE = "one.Service"


@asynccontextmanager
async def serving(measured: Measured, behaviour):
    server = GrpcServer(
        "127.0.0.1", 0, [registering(SERVICE, {"Do": behaviour})], [SERVICE], metrics=measured.metrics
    )
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield server, channel
    finally:
        await server.stop(0)


@pytest.mark.parametrize(
    ("error", "code"),
    [(None, "OK"), (NotFound("unknown", "no"), "NOT_FOUND"), (ZeroDivisionError(), "INTERNAL")],
)
async def test_each_call_counts_by_method_and_code(error, code):
    measured = Measured()

    async def behaviour(_, __):
        if error:
            raise error
        return b""

    async with serving(measured, behaviour) as (_, channel):
        try:
            await channel.unary_unary(f"/{SERVICE}/Do")(b"", timeout=5)
        except grpc.aio.AioRpcError as failed:
            assert failed.code().name == code
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.unary_unary("/unknown.Service/Method")(b"", timeout=5)
        await channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=5)

    samples = measured.samples()
    labels = {"rpc_method": f"{SERVICE}/Do", "rpc_response_status_code": code}
    assert samples.value("rpc_server_call_duration_seconds_count", **labels) == 1
    # Callers can invent method names, but not labels.
    assert samples.value("rpc_server_call_duration_seconds_count", rpc_method="_OTHER") == 1
    assert samples.value("rpc_server_call_duration_seconds_count") == 2


async def test_serving_gauge_follows_the_health_status():
    measured = Measured()

    async with serving(measured, None) as (server, _):
        assert measured.value("saga_serving") == 0
        await server.set_serving(True)
        assert measured.value("saga_serving") == 1


def test_metrics_are_served_at_the_port_until_the_end():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/metrics"

    with serve_metrics("one", "127.0.0.1", port) as measures:
        measures.counter(metrics.TRANSACTION_CONFLICTS).add(3)
        samples = parsed(httpx.get(url, trust_env=False).text)

    assert samples.value("saga_transactions_conflicts_total") == 3
    assert samples.value("target_info", service_name="one") == 1
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)


def test_port_in_use_is_an_error_that_names_the_setting():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(SettingsError, match="METRICS_PORT cannot be used"):
            with serve_metrics("one", "127.0.0.1", taken.getsockname()[1]):
                raise AssertionError


def test_without_a_port_no_metrics_code_is_loaded():
    program = (
        "import sys, sagakit.run\n"
        "from sagakit.telemetry.prometheus import serve_metrics\n"
        "with serve_metrics('one', '127.0.0.1', None) as measures:\n"
        "    assert not measures.enabled\n"
        "loaded = [name for name in sys.modules if name.startswith('prometheus_client')]\n"
        "sys.exit(str(loaded) if loaded else 0)\n"
    )

    subprocess.run([sys.executable, "-c", program], check=True)

    assert not NO_METRICS.enabled
