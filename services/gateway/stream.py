"""`GET /v1/orders/{orderid}/events`: what has happened to an order, and then what happens, as it happens.

The id of an event is the list of all moves that the client has seen by then. So whichever gateway it comes
back to, and in whatever order that one came to know of the moves, it is told each of the others once.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from contract.fields import ID_PATTERN
from rpc.purchase_pb2 import GetOrderTicketRequest
from services.gateway import behalf, sse
from services.gateway.behalf import Bearer
from services.gateway.clients import SERVICES, Clients
from services.gateway.errors import Problem
from services.gateway.middleware import LEAVE_ADMISSION
from services.gateway.moves import Move
from services.gateway.places import Places
from services.gateway.routes import problem
from services.gateway.watches import Watch, Watches

PATH = "/v1/orders/{orderid}/events"
END = "end"
MAX_SEEN = 50

_WORD = re.compile(r"[a-z-]{1,40}\.[a-z-]{1,40}|" + END)
_GET_TICKET = SERVICES["purchase"].methods_by_name["GetOrderTicket"]
_EXAMPLE = sse.event(
    "move",
    "purchase.pre-approved",
    {"service": "purchase", "status": "pre-approved", "time": "2026-11-21T12:00:00.000Z"},
) + sse.event("end", "purchase.pre-approved,purchase.canceled,end", {"orderid": "…", "status": "canceled"})
_DESCRIPTION = (
    "Server-sent events: a `move` for each thing that has happened to the order at any service, then for "
    "each as it happens, and an `end` once nothing more will. A client that comes back with the "
    "`Last-Event-ID` it saw last, to any gateway, is told what it has not seen; one that has seen the end "
    "hears 204. The stream breaks off now and then (a gateway that stops, a token that expires): come back. "
    "Comments come at least every 10 seconds, so a longer silence means that the connection is gone."
)
_PARAMETERS = [
    {"name": "orderid", "in": "path", "required": True, "schema": {"type": "string", "pattern": ID_PATTERN}},
    {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "The id of the last event seen.",
        "schema": {"type": "string"},
    },
]


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How long streams go on, in seconds, and how many followers there may be at once."""

    max_streams: int = 1_000
    """Streams and long polls together."""
    stream_seconds: float = 900
    """The longest a stream lasts; clients come back."""
    heartbeat_seconds: float = 10
    send_seconds: float = 10
    """How long a client may take to make room for what it is sent."""


DEFAULT_STREAM_LIMITS = StreamLimits()


class Streams:
    """Makes streams out of watches, as many as may be."""

    def __init__(
        self, clients: Clients, watches: Watches | None, places: Places, patience: StreamLimits
    ) -> None:
        """Without `watches` nothing is heard of orders here, and there are no streams."""
        self._clients = clients
        self._watches = watches
        self._patience = patience
        self._places = places

    def router(self) -> APIRouter:
        router = APIRouter(tags=["v1"])
        router.add_api_route(
            PATH,
            self._answer,
            methods=["GET"],
            operation_id="StreamOrderEvents",
            summary="Follow an order, move by move",
            description=_DESCRIPTION,
            response_class=Response,
            responses={
                200: {"description": "The stream", "content": {sse.MEDIA_TYPE: {"example": _EXAMPLE}}},
                204: {"description": "The end was seen already; do not come back."},
                **{status: problem(status) for status in (400, 401, 404, 429, 501, 503, 504)},
            },
            openapi_extra={"parameters": _PARAMETERS},
        )
        return router

    async def _answer(self, request: Request) -> Response:
        orderid = request.path_params["orderid"]
        if self._watches is None:
            raise Problem(501, "no-events", "This gateway is connected to no message broker.")
        # Whether there is such an order, and whether the caller may see it, before anything is sent.
        await self._clients.call(_GET_TICKET, GetOrderTicketRequest(orderid=orderid))
        seen = _words(request.headers.get("Last-Event-ID", ""))
        if END in seen:
            return Response(status_code=204)
        self._places.take()
        request.scope[LEAVE_ADMISSION]()
        content = self._stream(self._watches, orderid, behalf.current(), seen)
        return sse.EventStream(content, self._patience.send_seconds, self._places.give_back)

    async def _stream(
        self, watches: Watches, orderid: str, bearer: Bearer, seen: list[str]
    ) -> AsyncGenerator[str, None]:
        ends_at = min(time.time() + self._patience.stream_seconds, bearer.expires_at)
        yield sse.preamble()
        async with watches.following(orderid, bearer) as watch:
            while not watch.closed and time.time() < ends_at:
                for move in _unseen(watch, seen):
                    seen.append(move.word)
                    yield sse.event("move", ",".join(seen), _json(move))
                if watch.at_rest:
                    yield sse.event(END, ",".join([*seen, END]), {"orderid": orderid, "status": watch.status})
                    return
                if not await _news(watch, seen, self._patience.heartbeat_seconds):
                    yield sse.HEARTBEAT


def _words(last_event_id: str) -> list[str]:
    """The moves that a client has seen; whatever else it sends is left out."""
    return [word for word in last_event_id.split(",")[:MAX_SEEN] if _WORD.fullmatch(word)]


def _unseen(watch: Watch, seen: list[str]) -> list[Move]:
    return [move for move in watch.moves if move.word not in seen]


async def _news(watch: Watch, seen: list[str], seconds: float) -> bool:
    """Return once there is something to say, or the time is up: then False."""
    try:
        async with asyncio.timeout(seconds):
            await watch.until(lambda: watch.closed or watch.at_rest or bool(_unseen(watch, seen)))
    except TimeoutError:
        return False
    return True


def _json(move: Move) -> dict[str, Any]:
    return {name: value for name, value in asdict(move).items() if value is not None}
