"""The middleware that every request passes through, as plain ASGI, and its order."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from fastapi import FastAPI
from opentelemetry.trace import Tracer
from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sagakit import deadline
from sagakit.auth.jwt import TokenVerifier
from sagakit.telemetry.instruments import NO_METRICS, Metrics
from services.gateway.arrivals import MAX_BODY_BYTES, BodyMiddleware, DisconnectMiddleware, HeadMiddleware
from services.gateway.auth import PROBES, AuthMiddleware
from services.gateway.errors import Problem
from services.gateway.metrics import MetricsMiddleware, on_start
from services.gateway.origins import OriginMiddleware
from services.gateway.rate_limits import GlobalRateLimitMiddleware, TokenBucket
from services.gateway.settings import RequestLimits
from services.gateway.tracing import TracingMiddleware

log = structlog.get_logger()

RELEASE_SLOT = "saga.release_slot"
"""Key in the scope of the function that a long but idle request calls to no longer count as concurrent."""
_EXPOSED_HEADERS = ("ETag", "Location", "Retry-After", "WWW-Authenticate", "traceresponse")
_CONDITIONS = ("Idempotency-Key", "If-None-Match", "Last-Event-ID")
_REQUEST_HEADERS = ("Authorization", "Content-Type", *_CONDITIONS, "traceparent")
_PREFLIGHT_CACHE_SECONDS = 600
_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_LOAD_NOTHING = "default-src 'none'; frame-ancestors 'none'"
_HTTPS_ONLY = "max-age=63072000; includeSubDomains"


@dataclass(frozen=True, slots=True)
class MiddlewareConfig:
    """Which middleware is installed, and with what limits."""

    limits: RequestLimits = RequestLimits()
    tokens: TokenVerifier | None = None
    """Verifies bearer tokens; None: authentication is disabled."""
    cors_origins: Sequence[str] = ()
    """The web pages whose scripts may read answers."""
    allowed_hosts: Sequence[str] = ()
    """The host names that are answered without authentication, besides loopback ones and IP addresses."""
    https_only: bool = False
    metrics: Metrics = NO_METRICS
    tracer: Tracer | None = None


def install(app: FastAPI, config: MiddlewareConfig, is_draining: Callable[[], bool]) -> None:
    """Add the middleware to `app`; the last added is outermost."""
    limits = config.limits
    app.add_middleware(HeadMiddleware)
    app.add_middleware(
        AuthMiddleware,
        tokens=config.tokens,
        bucket=_bucket(limits.rate_per_client),
        trusted_proxies=limits.trusted_proxies,
    )
    if config.tokens is None:
        app.add_middleware(
            OriginMiddleware,
            allowed_hosts=config.allowed_hosts,
            trusted_origins=config.cors_origins,
            exempt=PROBES,
        )
    app.add_middleware(ConcurrencyLimitMiddleware, limit=limits.concurrent_requests)
    app.add_middleware(SendTimeoutMiddleware, seconds=limits.send_seconds)
    app.add_middleware(DisconnectMiddleware)
    app.add_middleware(BodyMiddleware, max_bytes=MAX_BODY_BYTES)
    app.add_middleware(TimeoutMiddleware, seconds=limits.request_seconds)
    if bucket := _bucket(limits.rate_overall):
        app.add_middleware(GlobalRateLimitMiddleware, bucket=bucket, exempt=PROBES)
    app.add_middleware(UnhandledErrorMiddleware)
    if config.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=config.cors_origins,
            allow_methods=["GET", "PUT", "POST", "DELETE"],
            allow_headers=_REQUEST_HEADERS,
            expose_headers=_EXPOSED_HEADERS,
            max_age=_PREFLIGHT_CACHE_SECONDS,
        )
    app.add_middleware(SecurityHeadersMiddleware, https_only=config.https_only)
    if config.metrics.enabled:
        app.add_middleware(MetricsMiddleware, metrics=config.metrics)
    app.add_middleware(DrainMiddleware, is_draining=is_draining)
    if config.tracer is not None:
        app.add_middleware(TracingMiddleware, tracer=config.tracer)


def _bucket(per_second: float) -> TokenBucket | None:
    return TokenBucket(per_second, time.monotonic) if per_second else None


@dataclass(slots=True)
class UnhandledErrorMiddleware:
    """Logs unexpected exceptions with their traceback, and answers 500 without details."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started: list[Message] = []
        try:
            await self.app(scope, receive, on_start(send, started.append))
        except ClientDisconnect:
            return
        except Exception as error:
            log.exception("request failed", path=scope.get("path"))
            if started:
                raise
            problem = error if isinstance(error, Problem) else Problem.unexpected()
            await problem.response()(scope, receive, send)


@dataclass(slots=True)
class DrainMiddleware:
    """Closes connections after their answer while the gateway drains.

    A client could otherwise send its next request just when an idle connection is closed.
    """

    app: ASGIApp
    is_draining: Callable[[], bool]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        def close(message: Message) -> None:
            if self.is_draining():
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]

        await self.app(scope, receive, on_start(send, close))


@dataclass(slots=True)
class ConcurrencyLimitMiddleware:
    """Rejects requests beyond the limit at once, rather than queueing them. Probes are always answered."""

    app: ASGIApp
    limit: int
    running: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self.app(scope, receive, send)
            return
        if self.running >= self.limit:
            problem = Problem(503, "overloaded", "Too many concurrent requests; try again.")
            await problem.response()(scope, receive, send)
            return
        self.running += 1
        has_slot = True

        def release() -> None:
            nonlocal has_slot
            self.running -= has_slot
            has_slot = False

        scope[RELEASE_SLOT] = release
        try:
            await self.app(scope, receive, send)
        finally:
            release()


@dataclass(slots=True)
class SendTimeoutMiddleware:
    """Disconnects a client that does not read its answer, which would else keep its slot without limit."""

    app: ASGIApp
    seconds: float

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(self.seconds):
                    await send(message)
            except TimeoutError:
                log.info("slow client disconnected", path=scope["path"])
                # The server closes the connection of an unfinished answer.
                raise ClientDisconnect from None

        await self.app(scope, receive, send_in_time)


@dataclass(slots=True)
class TimeoutMiddleware:
    """Sets the deadline that the calls made for a request inherit; a stream has it only until it begins."""

    app: ASGIApp
    seconds: float

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with deadline.set_deadline(self.seconds):
            await self.app(scope, receive, send)


@dataclass(slots=True)
class SecurityHeadersMiddleware:
    """Adds headers that restrict browsers: no sniffing, no frames, no caching unless the answer allows it."""

    app: ASGIApp
    https_only: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        def add_headers(message: Message) -> None:
            headers = MutableHeaders(scope=message)
            headers.update(_SECURITY_HEADERS)
            headers.setdefault("Cache-Control", "no-store")
            headers.setdefault("Content-Security-Policy", _LOAD_NOTHING)
            if self.https_only:
                headers.setdefault("Strict-Transport-Security", _HTTPS_ONLY)

        is_http = scope["type"] == "http"
        await self.app(scope, receive, on_start(send, add_headers) if is_http else send)
