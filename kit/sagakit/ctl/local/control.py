"""The control socket of a local suite, for `sagakit.ctl.local.control_client.request`."""

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

from sagakit.ctl.errors import CommandError
from sagakit.errors import NotFound, SagaError

MAX_REQUEST_BYTES = 4096
REQUEST_TIMEOUT_SECONDS = 5.0
"""Time for a client to send its request."""
MAX_FOLDER_BYTES = 80
"""Maximum length of the folder for temporary files: the path of a socket has at most 103 bytes (macOS)."""
_SOCKET = "control"

Handler = Callable[[str, str], Awaitable[list[dict[str, Any]]]]
"""(action, process name) → the state of the processes concerned, afterwards. Raises NotFound for an unknown
action or process, and another SagaError if the action fails."""


@asynccontextmanager
async def serve_control(
    handler: Handler, request_timeout_seconds: float = REQUEST_TIMEOUT_SECONDS
) -> AsyncIterator[Path]:
    """Context manager: serve requests inside the block; yields the socket's path.

    Raises CommandError if the socket cannot be created.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError), closing(writer):
            writer.write(json.dumps(await _reply(handler, reader, request_timeout_seconds)).encode() + b"\n")
            await writer.drain()

    try:
        folder = tempfile.TemporaryDirectory(prefix="saga-", dir=_temporary(), ignore_cleanup_errors=True)
    except OSError as error:
        raise CommandError(f"cannot create the control socket: {error}") from error
    with folder as directory:
        socket = Path(directory, _SOCKET)
        server = await asyncio.start_unix_server(serve, socket, limit=MAX_REQUEST_BYTES)
        try:
            yield socket
        finally:
            server.close()


def _temporary() -> str:
    """Return the folder for temporary files, or /tmp if its path is too long for a socket."""
    folder = tempfile.gettempdir()
    return folder if len(os.fsencode(folder)) <= MAX_FOLDER_BYTES else "/tmp"  # noqa: S108 - a private folder in it


async def _reply(handler: Handler, reader: asyncio.StreamReader, timeout_seconds: float) -> dict[str, Any]:
    try:
        async with asyncio.timeout(timeout_seconds):
            message = json.loads(await reader.readline())
        action, name = str(message["do"]), str(message["name"])
    except (TimeoutError, ValueError, TypeError, KeyError, RecursionError) as error:
        return {"error": f"malformed request: {error or type(error).__name__}", "unknown": False}
    try:
        return {"programs": await handler(action, name)}
    except SagaError as error:
        return {"error": str(error), "unknown": isinstance(error, NotFound)}
