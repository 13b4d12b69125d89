"""The issuer's public keys (JWKS): fetched, cached, and fetched again when they may have changed."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import structlog

from sagakit.errors import Unavailable
from sagakit.runtime import Runtime
from sagakit.untrusted import parse_json

log = structlog.get_logger()

CACHE_SECONDS = 600.0
"""How long cached keys are used before a refresh. A revoked key is accepted for at most this long."""
MAX_STALE_SECONDS = 24 * 3600.0
"""How long cached keys are used while the issuer does not respond."""
MIN_REFETCH_SECONDS = 10.0
"""Minimum interval between JWKS fetches, so that tokens with unknown key ids cannot cause excessive
requests to the issuer."""
FETCH_TIMEOUT_SECONDS = 5.0

Fetch = Callable[[], Awaitable[Mapping[str, Any]]]
"""Returns the JWKS. Raises Unavailable if the fetch fails."""


class JwksCache:
    """The keys of one issuer. Ages are measured by the monotonic clock, so clock steps do not matter."""

    def __init__(self, fetch: Fetch, runtime: Runtime) -> None:
        self._fetch = fetch
        self._monotonic = runtime.monotonic
        self._keys: Mapping[str | None, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def find(self, kid: str | None) -> jwt.PyJWK | None:
        """Return the key with that id, or without an id the issuer's only key; None if it has no such key.

        Raises Unavailable if the keys are unknown.
        """
        if self._needs_fetch(kid):
            async with self._fetching:
                # Another call may have fetched meanwhile.
                if self._needs_fetch(kid):
                    await self._refresh()
        if self._monotonic() - self._fetched_at > MAX_STALE_SECONDS:
            raise Unavailable("the issuer's keys cannot be fetched")
        return self._keys.get(kid)

    def _needs_fetch(self, kid: str | None) -> bool:
        now = self._monotonic()
        wanted = kid not in self._keys or now - self._fetched_at > CACHE_SECONDS
        return wanted and now - self._tried_at > MIN_REFETCH_SECONDS

    async def _refresh(self) -> None:
        self._tried_at = self._monotonic()
        try:
            found = _signing_keys(await self._fetch())
        except Unavailable as error:
            log.warning("JWKS fetch failed", error=str(error))
            return
        self._keys = found
        self._fetched_at = self._monotonic()


def _signing_keys(jwks: Mapping[str, Any]) -> Mapping[str | None, jwt.PyJWK]:
    """Return the keys for signing, by id; a single one also under None."""
    try:
        usable = [
            key for key in jwt.PyJWKSet.from_dict(dict(jwks)).keys if key.public_key_use in (None, "sig")
        ]
    except (jwt.PyJWTError, AttributeError, TypeError) as error:
        raise Unavailable(f"the issuer's keys are malformed: {error}") from error
    named: dict[str | None, jwt.PyJWK] = {key.key_id: key for key in usable if key.key_id}
    return {**named, None: usable[0]} if len(usable) == 1 else named


def fetch_from_issuer(issuer: str) -> Fetch:
    """Return a fetch by discovery: https://openid.net/specs/openid-connect-discovery-1_0.html."""

    async def fetch() -> Mapping[str, Any]:
        # A local issuer (http) is reached directly, not through the proxy for outgoing requests.
        trust_env = urlsplit(issuer).scheme == "https"
        try:
            async with httpx.AsyncClient(timeout=FETCH_TIMEOUT_SECONDS, trust_env=trust_env) as client:
                metadata = await _get(client, f"{issuer.rstrip('/')}/.well-known/openid-configuration")
                if metadata.get("issuer") != issuer:
                    raise Unavailable(f"{issuer} calls itself {metadata.get('issuer')!r}")
                return await _get(client, _same_scheme(issuer, str(metadata.get("jwks_uri"))))
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise Unavailable(f"{issuer}: {type(error).__name__} {error}") from error

    return fetch


def fetch_from_file(file: Path) -> Fetch:
    """Return a fetch from a file, which may be written later."""

    async def fetch() -> Mapping[str, Any]:
        try:
            found = parse_json(await asyncio.to_thread(file.read_text))
        except (OSError, ValueError) as error:
            raise Unavailable(f"{file}: {error}") from error
        return found if isinstance(found, dict) else {}

    return fetch


async def _get(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    response = (await client.get(url)).raise_for_status()
    found = parse_json(response.content)
    if not isinstance(found, dict):
        raise Unavailable(f"{url} is not a JSON object")
    return found


def _same_scheme(issuer: str, url: str) -> str:
    if urlsplit(url).scheme != urlsplit(issuer).scheme:
        raise Unavailable(f"the keys of {issuer} must not be fetched from {url}")
    return url
