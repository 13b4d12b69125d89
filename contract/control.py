"""A suite of local processes under control from elsewhere: a socket that only its user can open."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sagakit.errors import NotFound, SagaError, Unavailable

ANSWER_SECONDS = 60.0
"""What a service has to drain, and its successor to come up."""
_SOCKET = "control"

Answer = Callable[[str, str], Awaitable[list[dict[str, Any]]]]
"""(what to do, program) → the programs it concerns, as they are afterwards. Raises NotFound where there is no
such program, and whatever SagaError says why it could not be done."""


@asynccontextmanager
async def controlled(answer: Answer) -> AsyncIterator[Path]:
    """Yields the socket's path, while whoever connects is answered."""
    # Not in the run directory: a socket's path may only be so long.
    directory = Path(tempfile.mkdtemp(prefix="saga-"))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = json.loads(await reader.readline())
        try:
            reply: dict[str, Any] = {"programs": await answer(request["do"], request["name"])}
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


async def ask(socket: Path, what: str, name: str) -> list[Mapping[str, Any]]:
    """The programs it concerns, as they are afterwards. Unavailable where the suite cannot do it, or is gone;
    NotFound where it has no such program.
    """
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_unix_connection(socket)
            writer.write(json.dumps({"do": what, "name": name}).encode() + b"\n")
            reply = json.loads(await reader.readline())
            writer.close()
    except (OSError, ValueError, TimeoutError) as error:
        raise Unavailable(f"the suite does not answer: {error}") from error
    if "error" in reply:
        raise NotFound("unknown-program", reply["error"]) if reply["unknown"] else Unavailable(reply["error"])
    programs: list[Mapping[str, Any]] = reply["programs"]
    return programs
