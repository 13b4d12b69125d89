"""Reads a stream of server-sent events as a browser does."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True, slots=True)
class Sent:
    """An event of a stream."""

    name: str
    id: str
    data: dict[str, Any]

    @property
    def key(self) -> str:
        return self.name if self.name == "end" else f"{self.data['service']}.{self.data['status']}"


async def events(response: httpx.Response) -> AsyncIterator[Sent]:
    """Yield the events until the server ends the stream, without comments."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield Sent(fields["event"], fields["id"], json.loads(fields["data"]))
            fields = {}


async def follow(client: httpx.AsyncClient, orderid: str, seen: str = "") -> list[Sent]:
    """All events until the stream ends."""
    headers = {"Last-Event-ID": seen} if seen else {}
    async with client.stream("GET", f"/v1/orders/{orderid}/events", headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        return [each async for each in events(response)]
