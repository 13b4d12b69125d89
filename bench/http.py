"""A minimal HTTP/1.1 client over a persistent connection.

A client library would use more CPU than the suite that is measured.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

ANSWER_TIMEOUT_SECONDS = 60.0


class APIStatusError(Exception):
    """The response has an error status."""


class Connection:
    """A persistent connection to a gateway."""

    def __init__(self, gateway: str, answer_seconds: float = ANSWER_TIMEOUT_SECONDS) -> None:
        self._host = gateway.removeprefix("http://")
        self._answer_seconds = answer_seconds
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, path: str, **body: object) -> Any:
        """Post the body and return the answer. Raises APIStatusError if it is an error."""
        status, _, answer = await self.post(path, body)
        if status != 200:
            raise APIStatusError(f"{path} was answered {status}: {answer.decode(errors='replace')}")
        return json.loads(answer)

    async def post(self, path: str, body: Mapping[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
        """Return status, headers and body. Raises OSError, EOFError or TimeoutError if none comes."""
        try:
            async with asyncio.timeout(self._answer_seconds):
                return await self._post(path, json.dumps(body).encode())
        except BaseException:
            self.close()
            raise

    async def _post(self, path: str, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        if self.is_stale:
            self.close()
        if self._streams is None:
            host, port = self._host.split(":")
            self._streams = await asyncio.open_connection(host, int(port))
        reader, writer = self._streams
        head = f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        answer = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection") == "close":
            self.close()
        return int(status.split()[1]), headers, answer

    @property
    def is_stale(self) -> bool:
        """Whether the gateway has closed the connection while it was idle."""
        return self._streams is not None and self._streams[0].at_eof()

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
