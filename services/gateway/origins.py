"""Where a browser's request comes from: protection against the pages of other origins.

Without authentication the only right that a caller needs is to reach the gateway, and a browser on the same
machine does that on behalf of every page that is open in it.
"""

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.errors import Problem

_FOREIGN = frozenset({"cross-site", "same-site"})


@dataclass(frozen=True, slots=True)
class OriginMiddleware:
    """Rejects requests that a page of another origin sends, or that a rebound host name was used for."""

    app: ASGIApp
    allowed_hosts: Collection[str]
    """Host names that are answered besides those of this machine: exact ones, or `*.example.com`."""
    trusted_origins: Collection[str]
    """Origins of pages that may send requests."""
    exempt: Collection[str]
    """Paths that are always answered: probes address a pod by whatever name they have for it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = None
        if scope["type"] == "http" and scope["path"] not in self.exempt:
            problem = self._problem(scope["method"], Headers(scope=scope))
        if problem is not None:
            await problem.response()(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _problem(self, method: str, headers: Headers) -> Problem | None:
        host = host_name(headers)
        is_known = is_address(host) or is_loopback(host) or _matches(host, self.allowed_hosts)
        # Only clients that are no browsers leave the header out (HTTP/1.0).
        if "host" in headers and not is_known:
            detail = "This host name is not served; ALLOWED_HOSTS lists the names that are."
            return Problem(403, "host-not-allowed", detail)
        if headers.get("origin") in self.trusted_origins or is_same_origin(headers):
            return None
        if _is_navigation(method, headers):
            return None
        detail = "Pages of other origins may not send requests; CORS_ORIGINS lists those that may."
        return Problem(403, "cross-origin-forbidden", detail)


def is_same_origin(headers: Headers) -> bool:
    """Whether no page of another origin sent the request: one of this origin did, or no browser at all.

    Browsers name the origin in every request of a page that can change something. To https and loopback
    addresses they also name its relation to this one (https://www.w3.org/TR/fetch-metadata/).
    """
    origin = headers.get("origin")
    host = headers.get("host", "").lower()
    same = origin is None or origin.lower() in {f"http://{host}", f"https://{host}"}
    return same and headers.get("sec-fetch-site") not in _FOREIGN


def host_name(headers: Headers) -> str:
    """Return the Host header in lower case without its port, or "" if it is malformed."""
    try:
        return urlsplit(f"//{headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by definition, whatever a name server answers (RFC 6761)."""
    if is_address(host):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")


def is_local(request: Request) -> bool:
    """Whether the Host header names this machine."""
    return is_loopback(host_name(request.headers))


def is_address(host: str) -> bool:
    """Whether a host is an IP address, which no name server can have changed."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _matches(host: str, allowed: Collection[str]) -> bool:
    return host in allowed or any(name[:1] == "*" and host.endswith(name[1:]) for name in allowed)


def _is_navigation(method: str, headers: Headers) -> bool:
    """Whether a link was followed from another page, which does not get to see the answer."""
    return (
        method in {"GET", "HEAD"}
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
        and "origin" not in headers
    )
