"""Emulators and local issuers are reached directly, whatever proxy the environment names."""

import asyncio
import json
import os
from contextlib import asynccontextmanager

import pytest

from sagakit.auth.jwks import fetch_from_issuer
from sagakit.backends.gcp.datastore import open_datastore
from sagakit.backends.gcp.provision import open_pubsub_provisioner
from sagakit.backends.gcp.pubsub import open_pubsub
from sagakit.backends.gcp.pull import open_pubsub_pull_subscription
from sagakit.bus import Message
from sagakit.tables import Key
from sagakit.telemetry.tracing import open_tracer
from tests.support.grpcserver import serving

DEAD = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def _dead_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, DEAD)
    monkeypatch.delenv("no_grpc_proxy", raising=False)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")


async def lookup(address):
    async with open_datastore("project", "", address) as tables:
        await tables.lookup([Key("Thing", "a")])


async def publish(address):
    async with open_pubsub("project", address) as bus:
        await bus.publish("topic", [Message(b"", {})])


async def provision(address):
    async with open_pubsub_provisioner("project", address) as provisioner:
        await provisioner.ensure_topic("topic")


async def pull(address):
    async with open_pubsub_pull_subscription("project", address, "subscription") as subscription:
        await subscription.pull(1)


@pytest.mark.parametrize(
    ("service", "method", "call"),
    [
        ("google.datastore.v1.Datastore", "Lookup", lookup),
        ("google.pubsub.v1.Publisher", "Publish", publish),
        ("google.pubsub.v1.Publisher", "CreateTopic", provision),
        ("google.pubsub.v1.Subscriber", "Pull", pull),
    ],
)
async def test_emulator_is_reached_directly(service, method, call):
    async def answer(request, context):
        return b""

    async with serving(service, {method: answer}) as address:
        await call(address)


@asynccontextmanager
async def local_issuer(host):
    """A JWKS endpoint without TLS at that loopback name; yields its URL."""

    async def answer(reader, writer):
        request = await reader.readuntil(b"\r\n\r\n")
        body = {"issuer": url, "jwks_uri": f"{url}/keys"} if b"openid" in request else {"keys": []}
        content = json.dumps(body).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(content))
        writer.write(content)
        writer.close()

    server = await asyncio.start_server(answer, host.strip("[]"), 0)
    async with server:
        url = f"http://{host}:{server.sockets[0].getsockname()[1]}"
        yield url


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_local_issuer_is_reached_directly(host):
    async with local_issuer(host) as issuer:
        assert await fetch_from_issuer(issuer)() == {"keys": []}


async def test_local_issuer_with_tls_is_reached_directly():
    connected = asyncio.Event()

    async def answer(reader, writer):
        connected.set()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        issuer = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(Exception, match="ConnectError"):
            await fetch_from_issuer(issuer)()

    assert connected.is_set()


async def test_local_collector_is_reached_directly(monkeypatch):
    exported = asyncio.Event()

    async def answer(request, context):
        exported.set()
        return b""

    async with serving("opentelemetry.proto.collector.trace.v1.TraceService", {"Export": answer}) as address:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{address}")
        async with open_tracer("stock", os.environ) as tracer:
            tracer.start_span("event").end()

    assert exported.is_set()
