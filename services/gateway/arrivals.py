"""Requests as they arrive: handled once their body is there, and given up when a reader's client is gone."""

import asyncio
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sagakit import deadline
from services.gateway.errors import Problem

MAX_BODY_BYTES = 64 * 1024
_MAX_BODY_SECONDS = 60.0
IS_HEAD = "saga.is_head"
"""Key in the scope of a request that was HEAD, and must not wait."""


@dataclass(slots=True)
class BodyMiddleware:
    """Reads the body of a request before passing it on, so that a slow one takes no slot.

    Rejects bodies that do not arrive before the deadline, and those over the limit: by their Content-Length
    unread, others as soon as they exceed it. FastAPI's own `max_body_size` answers in plain text.
    """

    app: ASGIApp
    max_bytes: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(deadline.remaining(_MAX_BODY_SECONDS)):
                body = await self._read(Headers(scope=scope), receive)
        except TimeoutError:
            problem = Problem(408, "request-timeout", "The body did not arrive in time.")
            await problem.response()(scope, receive, send)
            return
        except Problem as problem:
            await problem.response()(scope, receive, send)
            return
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_whole() -> Message:
            return whole.pop() if whole else await receive()

        await self.app(scope, receive_whole, send)

    async def _read(self, headers: Headers, receive: Receive) -> bytes:
        problem = Problem(413, "body-too-large", f"The body must be at most {self.max_bytes} bytes.")
        announced = headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self.max_bytes:
            raise problem
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message.get("body", b"")
            if len(body) > self.max_bytes:
                raise problem
            more = message.get("more_body", False)
        return body


@dataclass(slots=True)
class DisconnectMiddleware:
    """Cancels a GET whose client disconnects before the answer begins, so that its slot is free at once.

    It may be waiting for an order, or for a service that does not reply. What changes something is completed.
    """

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
            await self.app(scope, receive, send)
            return
        request, task = [await receive()], asyncio.current_task()
        started = gone = False

        async def listen() -> Message:
            nonlocal gone
            while (message := await receive())["type"] != "http.disconnect":
                pass
            if not started and task is not None:
                gone = True
                task.cancel()
            return message

        async def receive_again() -> Message:
            return request.pop() if request else await asyncio.shield(listener)

        async def note_and_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        listener = asyncio.create_task(listen())
        try:
            await self.app(scope, receive_again, note_and_send)
            if gone:
                await asyncio.sleep(0)  # where a cancellation that came too late arrives
        except asyncio.CancelledError:
            if not gone or task is None or task.uncancel():
                raise
            raise ClientDisconnect from None
        finally:
            listener.cancel()


@dataclass(slots=True)
class HeadMiddleware:
    """Answers HEAD like GET, without the content and without waiting (RFC 9110, section 9.3.2)."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body"})

        scope["method"], scope[IS_HEAD] = "GET", True
        try:
            await self.app(scope, receive, send_head)
        finally:
            scope["method"] = "HEAD"
