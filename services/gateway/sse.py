"""Server-sent events, as https://html.spec.whatwg.org/multipage/server-sent-events.html has them."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

log = structlog.get_logger()

MEDIA_TYPE = "text/event-stream"
RECONNECT_MILLISECONDS = 1_000
HEARTBEAT = ": still here\n\n"
"""A comment: it keeps proxies from taking the silence for an end, and finds out who has gone."""


def preamble() -> str:
    """Tells a client when to come back after the stream broke off."""
    return f"retry: {RECONNECT_MILLISECONDS}\n\n"


def event(name: str, id_: str, data: Mapping[str, Any]) -> str:
    """One event; `id_` is what the client sends as Last-Event-ID when it comes back."""
    return f"event: {name}\nid: {id_}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"


class EventStream(StreamingResponse):
    """Sends a stream as it comes, and cuts off a client that does not take it."""

    def __init__(
        self, content: AsyncGenerator[str, None], send_seconds: float, on_close: Callable[[], None]
    ) -> None:
        # Buffering proxies (nginx) hold events back unless they are told not to.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(content, media_type=MEDIA_TYPE, headers=headers)
        self._content = content
        self._send_seconds = send_seconds
        self._on_close = on_close

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self._content):
            await super().stream_response(send)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def impatient(message: Message) -> None:
            async with asyncio.timeout(self._send_seconds):
                await send(message)

        try:
            await super().__call__(scope, receive, impatient)
        except TimeoutError:
            # The server ends the connection of an answer that was not finished.
            log.info("slow client cut off", path=scope["path"])
        finally:
            self._on_close()
