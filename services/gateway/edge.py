"""What stands between the network and the routes: the middleware, in its order."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from sagakit.auth.jwt import TokenVerifier
from sagakit.telemetry.instruments import NO_METRICS, Metrics
from services.gateway.deadline import Deadline
from services.gateway.entrance import Entrance, Overall
from services.gateway.headers import SecurityHeaders
from services.gateway.limits import Rate
from services.gateway.metrics import MeasuredRequests
from services.gateway.middleware import Admission, BodyLimit, LastResort

MAX_BODY_BYTES = 64 * 1024
_READABLE = ("ETag", "Location", "Retry-After", "WWW-Authenticate", "traceresponse")
_SENDABLE = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "Last-Event-ID",
    "traceparent",
)
_PREFLIGHT_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Limits:
    """What is too much."""

    request_seconds: float = 10
    """How long a request may take, from its arrival to the answer."""
    concurrent_requests: int = 512
    rate_per_client: float = 0
    """Requests a second; 0: any number."""
    rate_overall: float = 0
    """The same for all clients together."""
    forwarded_hops: int = 0
    """How many proxies stand before it and add to X-Forwarded-For; 0: nobody's word is taken."""


@dataclass(frozen=True, slots=True)
class Edge:
    """What is let through."""

    limits: Limits = Limits()
    tokens: TokenVerifier | None = None
    """None: nobody signs in."""
    cors_origins: Sequence[str] = ()
    """The web pages whose scripts may read answers."""
    encrypted: bool = False
    metrics: Metrics = NO_METRICS


DEFAULT_EDGE = Edge()


def install(app: FastAPI, edge: Edge) -> None:
    """What is added last is outermost."""
    limits = edge.limits
    app.add_middleware(BodyLimit, max_bytes=MAX_BODY_BYTES)
    app.add_middleware(Deadline, seconds=limits.request_seconds)
    app.add_middleware(
        Entrance,
        tokens=edge.tokens,
        rate=_rate(limits.rate_per_client),
        forwarded_hops=limits.forwarded_hops,
    )
    app.add_middleware(Admission, limit=limits.concurrent_requests)
    if overall := _rate(limits.rate_overall):
        app.add_middleware(Overall, rate=overall)
    app.add_middleware(LastResort)
    if edge.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=edge.cors_origins,
            allow_methods=["GET", "PUT", "POST", "DELETE"],
            allow_headers=_SENDABLE,
            expose_headers=_READABLE,
            max_age=_PREFLIGHT_SECONDS,
        )
    app.add_middleware(SecurityHeaders, encrypted=edge.encrypted)
    if edge.metrics.enabled:
        app.add_middleware(MeasuredRequests, metrics=edge.metrics)


def _rate(per_second: float) -> Rate | None:
    return Rate(per_second, time.monotonic) if per_second else None
