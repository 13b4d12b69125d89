"""The control socket of a local suite: every request is answered, and none leaves a connection open."""

import asyncio
import json
import tempfile

import pytest

from sagakit.ctl.local.control import MAX_REQUEST_BYTES, serve_control
from sagakit.ctl.local.control_client import request
from sagakit.errors import Unavailable

TIMEOUT_SECONDS = 20


async def programs(action, name):
    return [{"name": name, "state": action}]


async def send(socket, data):
    """Send the bytes; return everything that the suite sends until it closes the connection."""
    reader, writer = await asyncio.open_unix_connection(socket)
    writer.write(data)
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize(
    "data",
    [
        b"\n",
        b"{\n",
        b"[]\n",
        b"1\n",
        b"\xff\n",
        b'{"do": "ps"}\n',
        b"[" * (MAX_REQUEST_BYTES - 1) + b"\n",
        b"x" * (MAX_REQUEST_BYTES + 1),
        b'{"do": "ps"',
    ],
    ids=["empty", "cut", "list", "number", "no text", "no name", "nested", "oversized", "unfinished"],
)
async def test_malformed_request_is_answered_with_an_error(data):
    async with serve_control(programs, request_timeout_seconds=0.05) as socket:
        reply = json.loads(await send(socket, data))

        assert reply["error"].startswith("malformed request: ")
        assert await request(socket, "ps", "stock") == [{"name": "stock", "state": "ps"}]


async def test_defect_of_the_handler_closes_the_connection():
    failures = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context["exception"]))

    async def fail(action, name):
        raise ZeroDivisionError

    async with serve_control(fail) as socket:
        assert await send(socket, b'{"do": "ps", "name": ""}\n') == b""

    assert [type(failure) for failure in failures] == [ZeroDivisionError]


@pytest.mark.parametrize("reply", [b"", b"{}\n", b"[]\n", b"1\n", b"rubbish\n", b'{"programs": '])
async def test_client_rejects_a_malformed_reply_and_closes_the_connection(reply, tmp_path):
    closed = asyncio.Event()

    async def answer(reader, writer):
        await reader.readline()
        writer.write(reply)
        writer.write_eof()
        await reader.read()
        closed.set()
        writer.close()

    async with await asyncio.start_unix_server(answer, tmp_path / "s"):
        with pytest.raises(Unavailable, match="the suite does not answer"):
            await request(tmp_path / "s", "ps", "")

        await asyncio.wait_for(closed.wait(), TIMEOUT_SECONDS)


async def test_long_folder_for_temporary_files_is_not_used(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 102)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))

    async with serve_control(programs) as socket:
        assert await request(socket, "ps", "stock") == [{"name": "stock", "state": "ps"}]
        assert list(long.iterdir()) == []

    assert not socket.parent.exists()
