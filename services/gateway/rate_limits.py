"""Rate limits: token buckets, in this process's memory only, and how clients are told apart."""

import ipaddress
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.errors import Problem

CLIENT = "saga.client"
"""Key in the scope of the client's name: its `sub` if it is authenticated, else its address."""
BURST_SECONDS = 2.0
"""A bucket holds at most this many seconds' allowance."""
MAX_CLIENTS = 50_000
"""Beyond this number the least recently seen client is dropped, and starts with a full bucket again."""


@dataclass(slots=True)
class _Level:
    tokens: float
    filled_at: float


class TokenBucket:
    """Allows each client `per_second` requests a second."""

    def __init__(self, per_second: float, now: Callable[[], float], max_clients: int = MAX_CLIENTS) -> None:
        """`now`: monotonic time in seconds."""
        self._per_second = per_second
        self._capacity = max(1.0, per_second * BURST_SECONDS)
        self._now = now
        self._max_clients = max_clients
        self._levels: OrderedDict[str, _Level] = OrderedDict()

    def acquire(self, client: str) -> float:
        """Take a token and return 0, or return the seconds until the next one is available."""
        now = self._now()
        level = self._levels.setdefault(client, _Level(self._capacity, now))
        self._levels.move_to_end(client)
        if len(self._levels) > self._max_clients:
            self._levels.popitem(last=False)
        level.tokens = min(self._capacity, level.tokens + (now - level.filled_at) * self._per_second)
        level.filled_at = now
        if level.tokens < 1:
            return (1 - level.tokens) / self._per_second
        level.tokens -= 1
        return 0


@dataclass(slots=True)
class GlobalRateLimitMiddleware:
    """Limits the rate of requests from all clients together, except for the `exempt` paths."""

    app: ASGIApp
    bucket: TokenBucket
    exempt: tuple[str, ...]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limited = scope["type"] == "http" and scope["path"] not in self.exempt
        if limited and (retry_after := self.bucket.acquire("all")):
            await rate_limited(retry_after, "overall").response()(scope, receive, send)
            return
        await self.app(scope, receive, send)


def rate_limited(retry_after: float, limit: str) -> Problem:
    """Return the problem for a request over the limit with that name."""
    headers = {"Retry-After": str(math.ceil(retry_after))}
    return Problem(
        429, "too-many-requests", f"Too many requests ({limit}); try again later.", headers=headers
    )


def client_address(scope: Scope, trusted_proxies: int) -> str:
    """Return the client's address, from X-Forwarded-For only as far as trusted proxies have added to it.

    Of an IPv6 address the first 64 bits: a client usually has all addresses of such a network.
    """
    if trusted_proxies:
        named = ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")
        if len(named) >= trusted_proxies:
            return f"at {_network(named[-trusted_proxies].strip())}"
    return f"at {_network(scope['client'][0]) if scope.get('client') else 'nowhere'}"


def _network(address: str) -> str:
    try:
        ip = ipaddress.ip_address(_without_port(address))
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((int(ip), 64), strict=False))


def _without_port(address: str) -> str:
    """Some proxies append `203.0.113.1:5678` or `[2001:db8::1]:5678`."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address.partition("%")[0]
