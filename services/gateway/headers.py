"""Headers that every answer has, for browsers' sake."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
NOTHING_LOADED = "default-src 'none'; frame-ancestors 'none'"
DOCUMENTATION = "/docs"
_NOT_KEPT = "no-store"
_ONLY_ENCRYPTED = "max-age=63072000; includeSubDomains"


class SecurityHeaders:
    """Answers are what they say they are, are shown in no frame, and are not kept unless they say so."""

    def __init__(self, app: ASGIApp, *, encrypted: bool) -> None:
        """`encrypted`: clients reach it by https, through what stands before it."""
        self._app = app
        self._encrypted = encrypted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add(MutableHeaders(scope=message), scope["path"])
            await send(message)

        await self._app(scope, receive, with_headers)

    def _add(self, headers: MutableHeaders, path: str) -> None:
        headers.update(ALWAYS)
        headers.setdefault("Cache-Control", _NOT_KEPT)
        # The page at /docs loads its scripts from elsewhere.
        if path != DOCUMENTATION:
            headers.setdefault("Content-Security-Policy", NOTHING_LOADED)
        if self._encrypted:
            headers.setdefault("Strict-Transport-Security", _ONLY_ENCRYPTED)
