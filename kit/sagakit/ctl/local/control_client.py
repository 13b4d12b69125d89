"""Client of the control socket of a local suite: one JSON line as request, one as reply.

`sagactl up` serves it (sagakit/ctl/local/control.py); only its user can open it.
"""

import asyncio
import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from sagakit.errors import NotFound, Unavailable

REQUEST_TIMEOUT_SECONDS = 60.0
"""Long enough for a service to drain and its successor to start."""


async def request(socket: Path, action: str, name: str) -> list[Mapping[str, Any]]:
    """Return the state of the processes concerned, after the action.

    Raises Unavailable if the action fails or the suite does not reply, NotFound if it has no such process.
    """
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_unix_connection(socket)
            with closing(writer):
                writer.write(json.dumps({"do": action, "name": name}).encode() + b"\n")
                reply = json.loads(await reader.readline())
        if "error" not in reply:
            programs: list[Mapping[str, Any]] = reply["programs"]
            return programs
    except (OSError, ValueError, TypeError, KeyError, TimeoutError) as error:
        raise Unavailable(f"the suite does not answer: {error}") from error
    raise NotFound("unknown-program", reply["error"]) if reply.get("unknown") else Unavailable(reply["error"])
