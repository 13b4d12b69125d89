"""The control socket of a local suite, for `contract.control.request`."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sagakit.errors import NotFound, SagaError

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
