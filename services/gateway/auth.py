"""Authentication: verifies bearer tokens, and passes the caller's own token on to the services."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from sagakit.auth.jwt import TokenVerifier, parse_bearer
from sagakit.errors import MissingToken, Unauthenticated, Unavailable
from services.gateway.errors import Problem
from services.gateway.rate_limits import CLIENT, TokenBucket, client_address, rate_limited
from services.gateway.static_ui import DOCS, UI

SERVICE_CONTROL = "/ui/services"
"""Prefix of the paths below /ui that need a token, unlike its files."""
PROBES = ("/healthz", "/readyz")
PUBLIC_PATHS = (*PROBES, "/", "/openapi.json", "/asyncapi.json")
"""Paths that need no authentication."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A verified token and when it expires (seconds since the epoch)."""

    token: str = ""
    """Empty if authentication is disabled."""
    expires_at: float = math.inf
    operator: bool = True
    sub: str = ""
    """Empty if authentication is disabled."""


_ANONYMOUS = Credentials()
_credentials: ContextVar[Credentials] = ContextVar("credentials", default=_ANONYMOUS)


def current() -> Credentials:
    """Return the credentials of the request being handled."""
    return _credentials.get()


@contextmanager
def use(credentials: Credentials) -> Iterator[None]:
    """Context manager: calls to services inside the block carry these credentials."""
    before = _credentials.set(credentials)
    try:
        yield
    finally:
        _credentials.reset(before)


def metadata() -> tuple[tuple[str, str], ...]:
    """Return the gRPC metadata that carries the caller's token; the services verify it themselves."""
    token = _credentials.get().token
    return (("authorization", f"Bearer {token}"),) if token else ()


@dataclass(slots=True)
class AuthMiddleware:
    """Authenticates the request, applies the per-client rate limit, and sets the credentials of calls.

    Clients are told apart by their subject if authenticated, else by their address.
    """

    app: ASGIApp
    tokens: TokenVerifier | None
    """None: authentication is disabled."""
    bucket: TokenBucket | None
    """None: there is no limit."""
    trusted_proxies: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A page loads a dozen public files at once, which must not use up the client's allowance.
        if scope["type"] != "http" or scope["path"] in PROBES or _is_ui_file(scope["path"]):
            await self.app(scope, receive, send)
            return
        problem: Problem | None = None
        client, credentials = client_address(scope, self.trusted_proxies), Credentials()
        if self.tokens is not None and scope["path"] not in PUBLIC_PATHS:
            try:
                client, credentials = await _authenticate(self.tokens, Headers(scope=scope))
            except Unauthenticated as error:
                problem = _unauthenticated(error)
            except Unavailable:
                problem = Problem(503, "unavailable", "Authentication is temporarily unavailable.")
        scope[CLIENT] = client
        # Failed attempts count against the client's address, which limits guessing as well.
        if self.bucket is not None and (retry_after := self.bucket.acquire(client)):
            problem = rate_limited(retry_after, "client")
        if problem is not None:
            await problem.response()(scope, receive, send)
            return
        with use(credentials):
            await self.app(scope, receive, send)


async def _authenticate(tokens: TokenVerifier, headers: Headers) -> tuple[str, Credentials]:
    token = parse_bearer(headers.getlist("authorization"))
    caller = await tokens.verify(token)
    return f"sub {caller.sub}", Credentials(token, caller.expires_at, caller.operator, caller.sub)


def _unauthenticated(error: Unauthenticated) -> Problem:
    """Return the problem; a request without a token gets no error code (RFC 6750, section 3.1)."""
    text = str(error)
    challenge = {"WWW-Authenticate": "Bearer"} if isinstance(error, MissingToken) else {}
    return Problem(401, "unauthenticated", f"{text[:1].upper()}{text[1:]}.", headers=challenge)


def _is_ui_file(path: str) -> bool:
    if path == SERVICE_CONTROL or path.startswith(f"{SERVICE_CONTROL}/"):
        return False
    return any(path == page or path.startswith(f"{page}/") for page in (UI, DOCS))
