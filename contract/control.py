"""The control socket of a suite of local processes: one JSON line as request, one as reply.

`sagactl up` serves it; `sagactl` and the gateway's web UI are its clients. Only its user can open it.
"""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sagakit.errors import NotFound, SagaError, Unavailable

REQUEST_TIMEOUT_SECONDS = 60.0
"""Long enough for a service to drain and its successor to start."""
_SOCKET = "control"

Handler = Callable[[str, str], Awaitable[list[dict[str, Any]]]]
"""(action, process name) → the state of the processes concerned, afterwards. Raises NotFound for an unknown
process, and another SagaError if the action fails."""


@asynccontextmanager
async def serve_control(handler: Handler) -> AsyncIterator[Path]:
    """Context manager: serve requests inside the block; yields the socket's path."""
    # Not in the run directory: the length of a socket's path is limited.
    directory = Path(tempfile.mkdtemp(prefix="saga-"))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        message = json.loads(await reader.readline())
        try:
            reply: dict[str, Any] = {"programs": await handler(message["do"], message["name"])}
        except SagaError as error:
            reply = {"error": str(error), "unknown": isinstance(error, NotFound)}
        writer.write(json.dumps(reply).encode() + b"\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(serve, directory / _SOCKET)
    try:
        yield directory / _SOCKET
    finally:
        server.close()
        shutil.rmtree(directory, ignore_errors=True)


async def request(socket: Path, action: str, name: str) -> list[Mapping[str, Any]]:
    """Return the state of the processes concerned, after the action.

    Raises Unavailable if the action fails or the suite does not reply, NotFound if it has no such process.
    """
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_unix_connection(socket)
            writer.write(json.dumps({"do": action, "name": name}).encode() + b"\n")
            reply = json.loads(await reader.readline())
            writer.close()
    except (OSError, ValueError, TimeoutError) as error:
        raise Unavailable(f"the suite does not answer: {error}") from error
    if "error" in reply:
        raise NotFound("unknown-program", reply["error"]) if reply["unknown"] else Unavailable(reply["error"])
    programs: list[Mapping[str, Any]] = reply["programs"]
    return programs
