"""Every request has so long: what is left of it goes with the calls that are made for it."""

from starlette.types import ASGIApp, Receive, Scope, Send

from sagakit import deadline


class Deadline:
    """From a request's arrival; what streams is only bound by it until it begins."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with deadline.set_deadline(self._seconds):
            await self._app(scope, receive, send)
