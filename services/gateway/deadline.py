"""When the request under way has to be answered: every call that is made for it has what is left."""

import time
from contextvars import ContextVar

from starlette.types import ASGIApp, Receive, Scope, Send

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def left(most_seconds: float) -> float:
    """The seconds that a call may take: what is left of the request's, and no more than that."""
    deadline = _deadline.get()
    return most_seconds if deadline is None else max(0.0, min(most_seconds, deadline - time.monotonic()))


def put_off(seconds: float) -> None:
    """The request under way has been asked to take so much longer."""
    deadline = _deadline.get()
    if deadline is not None:
        _deadline.set(deadline + seconds)


class Deadline:
    """Every request has so long, from its arrival; what streams is only bound by it until it begins."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        before = _deadline.set(time.monotonic() + self._seconds)
        try:
            await self._app(scope, receive, send)
        finally:
            _deadline.reset(before)
