"""Limits of connections and of what arrives on them, over real sockets."""

import asyncio
import errno
import json
import resource
from contextlib import AsyncExitStack

import httpx
import pytest
from structlog.testing import capture_logs

from contract.topology import TOPOLOGY
from rpc import purchase_pb2
from services.gateway.connections import LINGER_SECONDS, MAX_HEADER_BYTES
from services.gateway.server import AcceptErrors
from tests.service.gateway_harness import WAIT_SECONDS, fakes
from tests.service.gateway_process import answer, connection, running
from tests.support.eventually import eventually

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
IMPATIENT = {"REQUEST_TIMEOUT_SECONDS": "0.5"}


def is_problem(answer, status):
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), answer
    assert b"content-type: application/problem+json" in head
    return json.loads(body)["status"] == status


async def test_silent_connection_is_closed():
    async with running(**IMPATIENT) as (_, client):
        assert await answer(client, b"") == b""


async def test_headers_have_to_arrive_in_time():
    async with running(**IMPATIENT) as (_, client):
        first = await answer(client, GET)
        second = await answer(client, GET + b"\r\n" + GET)

    assert is_problem(first, 408)
    assert b"api-gateway" in second
    assert is_problem(second[second.rindex(b"HTTP/1.1") :], 408)


async def test_trickled_headers_do_not_extend_their_time():
    async with running(**IMPATIENT) as (_, client), connection(client, GET) as (reader, writer):
        answered = asyncio.create_task(reader.read())
        async with asyncio.timeout(WAIT_SECONDS):
            while not answered.done():
                writer.write(b"X: 1\r\n")
                await asyncio.sleep(0.05)

    assert is_problem(answered.result(), 408)


async def test_client_that_still_sends_gets_its_rejection_and_is_not_waited_for():
    async def send(seconds):
        async with asyncio.timeout(seconds):
            while True:
                writer.write(b"more")
                await writer.drain()
                await asyncio.sleep(0.05)

    async with running() as (_, client), connection(client, b"no HTTP\r\n\r\n") as (reader, writer):
        rejection = await reader.readuntil(b"}")
        started = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            await send(seconds=LINGER_SECONDS / 4)
        rest = await reader.read()
        with pytest.raises(ConnectionError):
            await send(seconds=WAIT_SECONDS)
        seconds = asyncio.get_running_loop().time() - started

    assert is_problem(rejection, 400)
    assert rest == b""
    assert seconds > LINGER_SECONDS - 0.1


async def test_idle_connection_is_kept_between_requests():
    async with running(**IMPATIENT) as (_, client), connection(client, GET + b"\r\n") as (reader, writer):
        assert b"200" in await reader.readline()
        await asyncio.sleep(1)
        writer.write(GET + b"Connection: close\r\n\r\n")

        assert (await reader.read()).count(b"api-gateway") == 2


async def test_rest_of_a_rejected_body_does_not_hold_the_connection():
    announced = (
        b"POST /purchase/api/create_cart HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n\r\n"
    )
    async with running(**IMPATIENT) as (_, client), connection(client, announced) as (reader, writer):
        assert b"413" in await reader.readline()
        async with asyncio.timeout(WAIT_SECONDS):
            while not reader.at_eof():
                writer.write(b" ")
                await asyncio.sleep(0.05)
                await reader.read(1_000)


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"], ids=["incomplete", "in one piece"])
async def test_too_large_headers_are_rejected(end):
    async with running() as (_, client):
        answered = await answer(client, GET + b"X-Long: " + b"x" * 2 * MAX_HEADER_BYTES + end)

    assert is_problem(answered, 431)


async def test_headers_at_the_limit_are_accepted():
    async with running() as (_, client):
        answered = await answer(
            client, GET + b"Connection: close\r\nX-Long: " + b"x" * (MAX_HEADER_BYTES - 100) + b"\r\n\r\n"
        )

    assert answered.startswith(b"HTTP/1.1 200 ")


async def test_request_with_two_lengths_is_rejected_and_nothing_after_it_answered():
    post = b"POST /purchase/api/create_cart HTTP/1.1\r\nHost: localhost\r\n"
    framing = b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with running() as (_, client):
        answered = await answer(client, post + framing + b"0\r\n\r\n" + GET + b"\r\n")

    assert is_problem(answered, 400)
    assert b"api-gateway" not in answered


async def test_soft_limit_of_descriptors_is_raised():
    async with running(descriptors=(256, 4_096)) as (process, _):
        limits = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)

    assert limits == (4_096, 4_096)


async def test_idle_connections_beyond_the_descriptors_keep_no_client_out():
    """Those that are used stay, and new ones are answered at once."""
    async with (
        AsyncExitStack() as stack,
        running(descriptors=(256, 256)) as (process, client),
        httpx.AsyncClient(base_url=client.base_url, trust_env=False, timeout=2) as other,
    ):
        established = [await stack.enter_async_context(connection(client))]
        for number in range(300):
            await stack.enter_async_context(connection(client, GET + b"\r\n"))
            reader, writer = established[0]
            if number % 10 == 0:
                writer.write(GET + b"\r\n")
                assert b"200" in await asyncio.wait_for(reader.readline(), WAIT_SECONDS)
                await asyncio.wait_for(reader.readuntil(b"api-gateway"), WAIT_SECONDS)
        fresh = await other.get("/")
        process.terminate()
        output, errors = await asyncio.wait_for(process.communicate(), WAIT_SECONDS)

    assert fresh.text == "api-gateway"
    logged = [json.loads(line)["message"] for line in output.splitlines()]
    assert "connection limit reached" in logged
    assert len(logged) < 10
    assert errors == b""


async def test_new_connection_is_closed_while_all_others_are_being_served():
    release = asyncio.Event()

    async def hold():
        await release.wait()
        return purchase_pb2.GetCartResponse(cart={"cartid": "1", "status": "open"})

    async with fakes(GetCart=[hold]) as services:
        addresses = TOPOLOGY.address_environ({name: service.address for name, service in services.items()})
        async with running(**addresses, MAX_CONNECTIONS="2") as (_, client):
            served = [asyncio.create_task(client.get("/v1/carts/1")) for _ in range(2)]
            await eventually(lambda: len(services["purchase"].asked) == 2)

            closed = await answer(client, b"")
            release.set()
            answers = await asyncio.gather(*served)

    assert closed == b""
    assert [each.status_code for each in answers] == [200, 200]


async def test_failing_accept_is_logged_once_in_a_while():
    loop, handler = asyncio.get_running_loop(), AcceptErrors()
    with capture_logs() as logged:
        for _ in range(100):
            handler(
                loop,
                {"message": "socket.accept()", "exception": OSError(errno.EMFILE, "Too many open files")},
            )

    assert [each["event"] for each in logged] == ["out of file descriptors"]
