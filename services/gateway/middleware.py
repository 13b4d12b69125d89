"""What every request passes through, as plain ASGI: the last resort, admission, the limit to its body."""

from collections.abc import Callable

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.errors import Problem, problem_of

log = structlog.get_logger()

PROBES = ("/healthz", "/readyz")


class LastResort:
    """Whatever nobody foresaw becomes a log line with the details and a 500 without them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def observed(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, observed)
        except ClientDisconnect:
            return
        except Exception as error:
            log.exception("request failed", path=scope.get("path"))
            if started:
                raise
            await problem_of(error).response()(scope, receive, send)


LEAVE_ADMISSION = "saga.leave_admission"
"""The key in the scope of what a request calls that will be long under way without being any work."""


class Farewell:
    """While the gateway is about to stop every answer ends its connection: none is cut off at the end.

    A client that keeps one alive could otherwise be sending its next request just when it is closed.
    """

    def __init__(self, app: ASGIApp, draining: Callable[[], bool]) -> None:
        self._app = app
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def parting(message: Message) -> None:
            if message["type"] == "http.response.start" and self._draining():
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        await self._app(scope, receive, parting)


class Admission:
    """At most so many requests at a time; one more is sent away at once rather than kept waiting."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit
        self._admitted = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A gateway that is busy is neither dead nor to be sent less than it can bear.
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        if self._admitted >= self._limit:
            problem = Problem(503, "overloaded", "Too many requests at once; try again.")
            await problem.response()(scope, receive, send)
            return
        self._admitted += 1
        inside = True

        def leave() -> None:
            nonlocal inside
            self._admitted -= inside
            inside = False

        scope[LEAVE_ADMISSION] = leave
        try:
            await self._app(scope, receive, send)
        finally:
            leave()


class BodyLimit:
    """Bodies over the limit are refused: announced ones unread, others as soon as they pass it.

    FastAPI's own `max_body_size` refuses in plain text.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > self._max_bytes:
            await self._too_large().response()(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise self._too_large()
            return message

        await self._app(scope, counted, send)

    def _too_large(self) -> Problem:
        return Problem(413, "body-too-large", f"The body must be at most {self._max_bytes} bytes.")
