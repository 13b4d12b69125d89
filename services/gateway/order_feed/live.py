"""Answers that follow an order: event streams and long polls.

The id of a stream's event lists all events the client has received by then. So any gateway it reconnects to,
in whatever order that one learned of the events, sends each of the others exactly once.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from contract.order_history import OrderEvent
from contract.tickets import MAX_STATUS_LENGTH, TERMINAL
from rpc.purchase_pb2 import GetOrderTicketRequest, OrderTicket
from sagakit import deadline
from sagakit.topology import NAME_MAX_LENGTH
from services.gateway import auth
from services.gateway.auth import Credentials
from services.gateway.clients import Clients
from services.gateway.errors import Problem
from services.gateway.middleware import RELEASE_SLOT
from services.gateway.order_feed.feed import OrderFeed, OrderFeeds
from services.gateway.order_feed.slots import FollowerSlots
from services.gateway.rate_limits import CLIENT
from services.gateway.settings import StreamLimits

MEDIA_TYPE = "text/event-stream"
RECONNECT_MILLISECONDS = 1_000
HEARTBEAT = ": still here\n\n"
"""A comment that keeps proxies from closing an idle connection, and detects clients that are gone."""
END = "end"
MAX_SEEN = 50
_KEY = re.compile(rf"[a-z0-9-]{{1,{NAME_MAX_LENGTH}}}\.[!-+\--~]{{1,{MAX_STATUS_LENGTH}}}|{END}")
"""A key that a list of keys in a header can have: no status with a comma, a space or a line break has one."""


def sse(name: str, id_: str, data: Mapping[str, Any]) -> str:
    """Format one event (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    return f"event: {name}\nid: {id_}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"


_FIRST = {"service": "purchase", "status": "pre-approved", "time": "2026-11-21T12:00:00.000Z"}
_LAST = {"orderid": "…", "status": "canceled"}
EXAMPLE = sse("move", "purchase.pre-approved", _FIRST) + sse(
    END, "purchase.pre-approved,purchase.canceled,end", _LAST
)


class LiveOrders:
    """Follows orders on behalf of requests, up to a limit of followers at once."""

    def __init__(self, clients: Clients, feeds: OrderFeeds | None, limits: StreamLimits) -> None:
        """Without `feeds` no events are received: there are no streams, and long polls do not wait."""
        self._clients = clients
        self._feeds = feeds
        self._limits = limits
        self._slots = FollowerSlots(limits)

    async def until_terminal(self, request: Request, orderid: str, seconds: float) -> None:
        """Return once the order's status is terminal, or after `seconds`.

        Raises Problem (429, 503) if there are too many streams, AioRpcError if the order does not exist.
        """
        if self._feeds is None or (await self._authorize(orderid)).status in TERMINAL:
            return
        release = self._acquire_slot(request)
        try:
            deadline.extend(seconds)
            async with self._feeds.follow(orderid, auth.current()) as feed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await feed.until(lambda: feed.is_terminal or feed.closed)
        finally:
            release()

    async def stream(self, request: Request, orderid: str, last_event_id: str) -> Response:
        """Return the order's events as a stream, or 204 if the client has received the end.

        Raises Problem (429, 501, 503) if there is no stream, AioRpcError if the order does not exist.
        """
        if self._feeds is None:
            raise Problem(501, "streams-unavailable", "This gateway is not connected to a message broker.")
        await self._authorize(orderid)
        seen = _keys(last_event_id)
        if END in seen:
            return Response(status_code=204)
        release = self._acquire_slot(request)
        content = self._events(self._feeds, orderid, auth.current(), seen)
        return _EventStream(content, release)

    async def _authorize(self, orderid: str) -> OrderTicket:
        answer = await self._clients.purchase.GetOrderTicket(GetOrderTicketRequest(orderid=orderid))
        return answer.order_ticket

    def _acquire_slot(self, request: Request) -> Callable[[], None]:
        release = self._slots.acquire(request.scope[CLIENT])
        request.scope[RELEASE_SLOT]()
        return release

    async def _events(
        self, feeds: OrderFeeds, orderid: str, credentials: Credentials, seen: list[str]
    ) -> AsyncGenerator[str, None]:
        now = asyncio.get_running_loop().time
        ends_at = now() + min(self._limits.stream_seconds, credentials.expires_at - time.time())
        yield f"retry: {RECONNECT_MILLISECONDS}\n\n"
        async with feeds.follow(orderid, credentials) as feed:
            while not feed.closed and now() < ends_at:
                for event in _unseen(feed, seen):
                    seen.append(event.key)
                    data = {name: value for name, value in asdict(event).items() if value is not None}
                    yield sse("move", ",".join(seen), data)
                if feed.is_settled:
                    yield sse(END, ",".join([*seen, END]), {"orderid": orderid, "status": feed.status})
                    return
                try:
                    async with asyncio.timeout(self._limits.heartbeat_seconds):
                        await feed.until(lambda: feed.closed or feed.is_settled or bool(_unseen(feed, seen)))
                except TimeoutError:
                    yield HEARTBEAT


def _keys(last_event_id: str) -> list[str]:
    return [key for key in last_event_id.split(",")[:MAX_SEEN] if _KEY.fullmatch(key)]


def _unseen(feed: OrderFeed, seen: list[str]) -> list[OrderEvent]:
    return [event for event in feed.events if event.key not in seen and _KEY.fullmatch(event.key)]


class _EventStream(StreamingResponse):
    """Sends events as they come."""

    def __init__(self, content: AsyncGenerator[str, None], on_close: Callable[[], None]) -> None:
        # nginx buffers events unless told not to.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(content, media_type=MEDIA_TYPE, headers=headers)
        self._content = content
        self._on_close = on_close

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self._content):
            await super().stream_response(send)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_close()
