"""The gateway as a process: how it starts, fails to start, and stops."""

import asyncio
import json
import signal
import socket
import time

import httpx
import pytest

from contract.topology import TOPOLOGY
from rpc import purchase_pb2
from services.gateway.clients import SERVICES
from services.gateway.server import listen
from tests.service.gateway_harness import WAIT_SECONDS, assert_problem, fakes
from tests.service.gateway_process import UNREACHABLE, running, spawn
from tests.support.eventually import eventually

CREATE_CART = "/purchase/api/create_cart"


async def failure(**environ):
    """The exit code, and the lines on standard error, of a process that cannot start."""
    process = await spawn(environ)
    async with asyncio.timeout(WAIT_SECONDS):
        output, errors = await process.communicate()
    assert output == b""
    return process.returncode, errors.decode().splitlines()


async def is_refused(client):
    try:
        await client.get("/healthz")
    except httpx.TransportError:
        return True
    return False


async def test_sigterm_lets_a_request_finish_and_exits_with_zero():
    release = asyncio.Event()

    async def hold():
        await release.wait()
        return purchase_pb2.CreateCartResponse(cart={"cartid": "1", "status": "open"})

    async with fakes(CreateCart=[hold]) as services:
        purchase = services["purchase"]
        addresses = TOPOLOGY.address_environ({name: service.address for name, service in services.items()})
        async with running(**addresses, DRAIN_DELAY_SECONDS="1") as (process, client):
            ready = await client.get("/readyz")
            under_way = asyncio.create_task(client.post(CREATE_CART, json={"cartid": "1"}))
            await eventually(lambda: purchase.asked)

            signalled_at = time.monotonic()
            process.send_signal(signal.SIGTERM)

            async def not_ready():
                return (await client.get("/readyz")).status_code == 503

            await eventually(not_ready)
            draining = await client.get("/readyz")
            last = await client.get("/")
            await eventually(lambda: is_refused(client))
            refused_after = time.monotonic() - signalled_at
            release.set()
            finished = await under_way
            exit_code = await asyncio.wait_for(process.wait(), WAIT_SECONDS)

    assert ready.status_code == 200
    assert "connection" not in ready.headers
    assert_problem(draining, 503, "draining")
    assert (last.status_code, last.headers["connection"]) == (200, "close")
    assert refused_after >= 1
    assert finished.json() == {"cart": {"cartid": "1", "status": "open"}}
    assert exit_code == 0


async def test_gateway_serves_while_the_broker_is_unreachable():
    """Known mistake: Google's client gives up after 45 s with an error that ends the process."""
    broker = {"GOOGLE_CLOUD_PROJECT": "p", "PUBSUB_EMULATOR_HOST": "127.0.0.1:1", "BACKEND": "gcp"}
    async with fakes() as services:
        addresses = TOPOLOGY.address_environ({name: service.address for name, service in services.items()})
        async with running(**broker, **addresses) as (process, client):
            following = asyncio.create_task(client.get("/v1/orders/1?wait=60"))
            lost = 0
            async with asyncio.timeout(WAIT_SECONDS):
                while lost < 2 * len(SERVICES):
                    line = json.loads(await process.stdout.readline())
                    lost += line["message"] == "ephemeral subscription lost"

            assert (await client.get("/healthz")).status_code == 200
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), WAIT_SECONDS) == 0
            await asyncio.gather(following, return_exceptions=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_idle_gateway_exits_at_once_even_with_open_connections(number):
    async with running() as (process, client):
        await client.get("/")

        process.send_signal(number)

        assert await asyncio.wait_for(process.wait(), 5) == 0
        assert await process.stderr.read() == b""


async def test_port_in_use_is_reported_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        exit_code, lines = await failure(**{**UNREACHABLE, "PORT": port})

    assert exit_code == 1
    assert len(lines) == 1
    assert lines[0].startswith("gateway: PORT cannot be used: Address already in use")
    assert port in lines[0]


async def test_unknown_host_is_reported_in_one_line():
    exit_code, lines = await failure(**{**UNREACHABLE, "HOST": "192.0.2.1"})

    assert exit_code == 1
    assert len(lines) == 1
    assert lines[0].startswith("gateway: HOST cannot be used: ")


def test_small_answers_are_sent_without_delay():
    with listen("127.0.0.1", 0) as at, socket.create_connection(at.getsockname()):
        connection, _ = at.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"STOCK_ADDRESS": "127.0.0.1:1"}, "gateway: PURCHASE_ADDRESS is not set"),
        ({**UNREACHABLE, "PORT": "http"}, "gateway: PORT must be an integer, not 'http'"),
    ],
)
async def test_invalid_setting_is_reported_in_one_line(environ, complaint):
    assert await failure(**environ) == (1, [complaint])


async def test_too_large_body_is_answered_over_a_real_connection():
    async def megabytes():
        for _ in range(64):
            yield b" " * 64 * 1024

    async with running() as (_, client):
        announced = await client.post(CREATE_CART, content=b" " * 4_000_000)
        streamed = await client.post(CREATE_CART, content=megabytes())
        after = await client.get("/")

    assert_problem(announced, 413, "body-too-large")
    assert_problem(streamed, 413, "body-too-large")
    assert after.text == "api-gateway"


async def test_process_keeps_running_without_services():
    async with running() as (process, client):
        answer = await client.post(CREATE_CART, json={"cartid": "1"})
        ready = await client.get("/readyz")

        assert process.returncode is None

    assert_problem(answer, 503, "unavailable")
    assert_problem(ready, 503, "not-ready")
    assert "server" not in answer.headers


async def test_gateway_starts_without_googles_clients():
    # They take longer to import than the gateway has to start.
    process = await spawn(
        {}, "-c", "import sys, services.gateway.__main__; print('google.cloud' in ' '.join(sys.modules))"
    )

    assert await process.communicate() == (b"False\n", b"")


async def test_no_request_on_an_idle_connection_is_lost_when_a_gateway_drains():
    """A load balancer sends new connections elsewhere, but keeps the open ones."""
    answered = []

    async def ask_until_closed(client):
        closed = False
        while not closed:
            answer = await client.get("/")
            closed = answer.headers.get("connection") == "close"
            answered.append(answer.status_code)

    async with running(DRAIN_DELAY_SECONDS="1") as (process, client):
        asking = [asyncio.create_task(ask_until_closed(client)) for _ in range(16)]
        await eventually(lambda: len(answered) > 100)

        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(asyncio.gather(*asking), WAIT_SECONDS)

        assert await asyncio.wait_for(process.wait(), WAIT_SECONDS) == 0
    assert set(answered) == {200}
