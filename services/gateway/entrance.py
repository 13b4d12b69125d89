"""Who comes in: known by their tokens where they have to sign in, and no oftener than they may."""

import math

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from sagakit.auth.jwt import TokenVerifier, parse_bearer
from sagakit.errors import Unauthenticated, Unavailable
from services.gateway import behalf
from services.gateway.behalf import Bearer
from services.gateway.errors import Problem
from services.gateway.limits import Rate
from services.gateway.middleware import PROBES
from services.gateway.page import PAGE
from services.gateway.steering import STEERING

OPEN_TO_ALL = (*PROBES, "/", "/docs", "/openapi.json")
"""What tells nothing of anybody's."""
_EVERYBODY = "everybody"


class Overall:
    """So many requests a second, whoever sends them."""

    def __init__(self, app: ASGIApp, rate: Rate) -> None:
        self._app = app
        self._rate = rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in PROBES and (wait := self._rate.take(_EVERYBODY)):
            await too_many(wait, "overall").response()(scope, receive, send)
            return
        await self._app(scope, receive, send)


class Entrance:
    """Lets in whoever is known, as often as they may; requests go on on their behalf."""

    def __init__(
        self, app: ASGIApp, tokens: TokenVerifier | None, rate: Rate | None, forwarded_hops: int
    ) -> None:
        """Without `tokens` nobody signs in. `forwarded_hops`: how many proxies add to X-Forwarded-For."""
        self._app = app
        self._tokens = tokens
        self._rate = rate
        self._forwarded_hops = forwarded_hops

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES or _of_page(scope["path"]):
            await self._app(scope, receive, send)
            return
        problem: Problem | None = None
        client, bearer = _peer(scope, self._forwarded_hops), Bearer()
        if self._tokens is not None and scope["path"] not in OPEN_TO_ALL:
            try:
                client, bearer = await self._identified(self._tokens, Headers(scope=scope))
            except Unauthenticated as error:
                problem = _who_are_you(error)
            except Unavailable:
                problem = Problem(503, "unavailable", "Nobody can be recognized at the moment; try again.")
        # Whoever fails to sign in is counted by their address, so that guessing is limited as well.
        if self._rate is not None and (wait := self._rate.take(client)):
            problem = too_many(wait, "client")
        if problem is not None:
            await problem.response()(scope, receive, send)
            return
        with behalf.of(bearer):
            await self._app(scope, receive, send)

    async def _identified(self, tokens: TokenVerifier, headers: Headers) -> tuple[str, Bearer]:
        if len(headers.getlist("authorization")) > 1:
            raise Unauthenticated("one bearer token is needed")
        token = parse_bearer(headers.get("authorization", ""))
        caller = await tokens.verify(token)
        return f"sub {caller.sub}", Bearer(token, caller.expires_at, caller.operator)


def _of_page(path: str) -> bool:
    """A file of the page: nobody's, and a dozen at once, which must not use up what a client may ask for."""
    if path == STEERING or path.startswith(f"{STEERING}/"):
        return False
    return path == PAGE or path.startswith(f"{PAGE}/")


def too_many(wait_seconds: float, whose: str) -> Problem:
    """That somebody has asked too often, and when they may again."""
    wait = {"Retry-After": str(math.ceil(wait_seconds))}
    return Problem(429, "too-many-requests", f"Too many requests ({whose}); try again later.", headers=wait)


def _who_are_you(error: Unauthenticated) -> Problem:
    challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    return Problem(401, "unauthenticated", f"{error}.".capitalize(), headers=challenge)


def _peer(scope: Scope, forwarded_hops: int) -> str:
    """The address of the client; what it says of itself counts only from the proxies that are trusted."""
    if forwarded_hops:
        named = ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")
        if len(named) >= forwarded_hops:
            return f"at {named[-forwarded_hops].strip()}"
    return f"at {scope['client'][0] if scope.get('client') else 'nowhere'}"
