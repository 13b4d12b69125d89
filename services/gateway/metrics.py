"""The gateway's metrics: rate, errors and duration of its requests."""

import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sagakit.telemetry.instruments import SECONDS, Histogram, Metrics

REQUEST_DURATION = Histogram(
    "http.server.request.duration",
    SECONDS,
    "Duration of requests to the end of the answer; of event streams, until they end.",
    ("http.request.method", "http.route", "http.response.status_code"),
)
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
OTHER_METHOD = "_OTHER"
NO_ROUTE = ""
"""The route of a request that reached none: unknown path, or rejected by middleware."""
NOT_ANSWERED = 499
"""The status if the client disconnected before the answer."""


def on_start(send: Send, edit: Callable[[Message], object]) -> Send:
    """Return a `send` that calls `edit` with the message that starts the answer."""

    async def edit_and_send(message: Message) -> None:
        if message["type"] == "http.response.start":
            edit(message)
        await send(message)

    return edit_and_send


class MetricsMiddleware:
    """Records every answer, including those of other middleware."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._durations = metrics.histogram(REQUEST_DURATION)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, start = time.monotonic(), {"status": NOT_ANSWERED}
        try:
            await self._app(scope, receive, on_start(send, start.update))
        finally:
            labels = {
                "http.request.method": scope["method"] if scope["method"] in METHODS else OTHER_METHOD,
                "http.route": getattr(scope.get("route"), "path_format", NO_ROUTE),
                "http.response.status_code": str(start["status"]),
            }
            self._durations.record(time.monotonic() - began, labels)
