"""The connections of the gateway: uvicorn's HTTP/1.1 protocol, with limits that it lacks.

A connection on which nothing arrives, or only part of a request, is closed after a timeout. Beyond the limit
the connection that has been idle longest is closed for a new one, as in nginx.
"""

import asyncio
import sys
from itertools import chain
from typing import Any

import h11
import structlog
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from services.gateway.errors import Problem

log = structlog.get_logger()

MAX_HEADER_BYTES = 32 * 1024
LINGER_SECONDS = 2.0
"""How long a client whose request was rejected may take to receive the answer, and continue to send."""
LOG_INTERVAL_SECONDS = 10.0
_HEADER_OVERHEAD = len(b": \r\n")
_DETAILS = {
    400: "The request is not valid HTTP/1.1.",
    431: f"The headers must be at most {MAX_HEADER_BYTES} bytes.",
    501: "Of the transfer codings only chunked is supported.",
}
_REASONS = {400: "bad-request", 431: "headers-too-large", 501: "not-implemented"}


class Connections:
    """The open connections, up to a limit. Those without a complete request to answer are idle."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: set[GatewayProtocol] = set()
        self._idle: dict[GatewayProtocol, None] = {}
        """Ordered: the first has been idle longest."""
        self._logged_at = -LOG_INTERVAL_SECONDS

    def add(self, connection: "GatewayProtocol") -> None:
        """Add an idle connection; beyond the limit disconnect another idle one, else one whose client has yet
        to read the rest before it is closed, else this.
        """
        self._open.add(connection)
        if len(self._open) > self._limit:
            self._log()
            closing = (each for each in self._open if each.transport.is_closing())
            victim = next(chain(self._idle, closing), connection)
            self.discard(victim)
            victim.transport.abort()

    def set_idle(self, connection: "GatewayProtocol", idle: bool) -> None:
        """Note whether an open connection is idle; the order is that in which they became so."""
        if not idle:
            self._idle.pop(connection, None)
        elif connection in self._open:
            self._idle.setdefault(connection)

    def discard(self, connection: "GatewayProtocol") -> None:
        """Remove a connection that is closed."""
        self._open.discard(connection)
        self._idle.pop(connection, None)

    def _log(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._logged_at >= LOG_INTERVAL_SECONDS:
            self._logged_at = now
            log.warning("connection limit reached", limit=self._limit, idle=len(self._idle))


class GatewayProtocol(H11Protocol):
    """One connection."""

    def __init__(self, *args: Any, connections: Connections, arrival_seconds: float, **kwargs: Any) -> None:
        """`arrival_seconds`: how long the headers of a request may take from their first byte, or from the
        start of the connection; and the rest of a body that has been rejected.
        """
        super().__init__(*args, **kwargs)
        self.conn = _Connection(h11.SERVER, MAX_HEADER_BYTES)
        self._connections = connections
        self._arrival_seconds = arrival_seconds
        self._arrival_timer: asyncio.TimerHandle | None = None
        self._is_lingering = False
        """Whether its last answer is sent, and what still arrives is ignored."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        super().connection_made(transport)
        self._connections.add(self)
        self._update()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._is_lingering:
            super().data_received(data)

    def handle_events(self) -> None:
        super().handle_events()
        self._update()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._update()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """Answer what is no valid request; uvicorn calls it while it handles h11's exception."""
        error = sys.exc_info()[1]
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        self._reject(Problem(status, _REASONS[status], _DETAILS[status]))

    def _update(self) -> None:
        """Adapt to what the client is doing: waiting for its response, sending, or nothing."""
        if self._is_lingering:
            return
        if self.transport.is_closing():
            self._stop_timer()
            return
        is_new = self.cycle is None
        answered = is_new or self.cycle.response_complete
        self._connections.set_idle(self, answered or self.cycle.more_body)
        is_between = self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]
        if answered and (is_new or not is_between):
            self._start_timer()
            return
        self._stop_timer()
        if answered and self.timeout_keep_alive_task is None:
            # uvicorn forgets it after the rest of a body that was rejected.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _start_timer(self) -> None:
        if self._arrival_timer is None:
            self._arrival_timer = self.loop.call_later(self._arrival_seconds, self._on_timeout)

    def _stop_timer(self) -> None:
        if self._arrival_timer is not None:
            self._arrival_timer.cancel()
            self._arrival_timer = None

    def _on_timeout(self) -> None:
        if self.conn.trailing_data[0]:
            self._reject(Problem(408, "request-timeout", "The headers did not arrive in time."))
        else:
            self.transport.close()

    def _reject(self, problem: Problem) -> None:
        """Answer, if no response has begun, and close."""
        if self.conn.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.close()
            return
        response, phrase = problem.response(), STATUS_PHRASES[problem.status_code]
        headers = [*response.raw_headers, (b"connection", b"close")]
        for event in (
            h11.Response(status_code=problem.status_code, headers=headers, reason=phrase),
            h11.Data(bytes(response.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self._close_in_stages()

    def _close_in_stages(self) -> None:
        """Close when the client does: while it sends, that would reset the connection and lose the answer.

        https://www.rfc-editor.org/rfc/rfc9112#section-9.6-8
        """
        self._is_lingering = True
        self._stop_timer()
        self._unset_keepalive_if_required()
        self._connections.set_idle(self, True)
        self._arrival_timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)
        self.transport.write_eof()


class _Connection(h11.Connection):
    """Rejects headers over the limit however they are sent (h11 only if they are incomplete), and requests
    whose end another parser could see elsewhere: a way to smuggle a second one past a proxy.
    """

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        event = super().next_event()
        if isinstance(event, h11.Request):
            size = len(event.target) + sum(
                len(name) + len(value) + _HEADER_OVERHEAD for name, value in event.headers
            )
            if size > MAX_HEADER_BYTES:
                raise h11.RemoteProtocolError(_DETAILS[431], 431)
            if {b"content-length", b"transfer-encoding"} <= {name for name, _ in event.headers}:
                # https://www.rfc-editor.org/rfc/rfc9112#section-6.3-2.3
                raise h11.RemoteProtocolError("Content-Length with Transfer-Encoding")
        return event
