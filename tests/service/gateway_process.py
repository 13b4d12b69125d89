"""A gateway as a process, and raw connections to it."""

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager

import httpx

from contract.topology import TOPOLOGY
from services.gateway.clients import SERVICES
from tests.service.gateway_harness import WAIT_SECONDS

UNREACHABLE = {**TOPOLOGY.address_environ(dict.fromkeys(SERVICES, "127.0.0.1:1")), "PORT": "0"}


async def spawn(environ, *arguments, descriptors=None):
    """`descriptors`: the soft and the hard limit."""
    command = (sys.executable, *(arguments or ("-m", "services.gateway")))
    if descriptors is not None:
        soft, hard = descriptors
        command = ("sh", "-c", f'ulimit -Sn {soft}; ulimit -Hn {hard}; exec "$@"', "sh", *command)
    return await asyncio.create_subprocess_exec(
        *command,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": ":".join(sys.path), "LOG_FORMAT": "json", **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def running(*, descriptors=None, **environ):
    """A gateway process, and a client of it."""
    process = await spawn({**UNREACHABLE, **environ}, descriptors=descriptors)
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            line = await serving(process)
        base_url = f"http://{line['host']}:{line['port']}"
        async with httpx.AsyncClient(base_url=base_url, trust_env=False, timeout=WAIT_SECONDS) as client:
            yield process, client
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def serving(process):
    """The log line that names the address; others may precede it."""
    while (line := json.loads(await process.stdout.readline()))["message"] != "serving":
        pass
    return line


@asynccontextmanager
async def connection(client, sent=b""):
    """A raw connection to the server of `client`, upon which `sent` was sent."""
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    try:
        writer.write(sent)
        await writer.drain()
        yield reader, writer
    finally:
        writer.transport.abort()


async def answer(client, sent):
    """Everything the server sends upon `sent` until it closes the connection."""
    async with connection(client, sent) as (reader, _), asyncio.timeout(WAIT_SECONDS):
        return await reader.read()
