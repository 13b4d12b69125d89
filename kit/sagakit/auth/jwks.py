"""The issuer's public keys: fetch_from_issuer, kept, looked for again when they may have changed."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import structlog

from sagakit.errors import Unavailable
from sagakit.runtime import Runtime

log = structlog.get_logger()

CACHE_SECONDS = 600.0
"""How long keys are believed without asking; one that was withdrawn is believed for no longer."""
MAX_STALE_SECONDS = 24 * 3600.0
"""How long they are while the issuer does not answer."""
MIN_REFETCH_SECONDS = 10.0
"""Between two tries: a token with a key that nobody knows is no way to have the issuer asked all the time."""
FETCH_TIMEOUT_SECONDS = 5.0

Fetch = Callable[[], Awaitable[Mapping[str, Any]]]
"""Gets the JWKS. Unavailable where it cannot be had."""


class JwksCache:
    """The keys of one issuer."""

    def __init__(self, fetch: Fetch, runtime: Runtime) -> None:
        self._fetch = fetch
        self._now = runtime.now
        self._keys: Mapping[str | None, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._trying = asyncio.Lock()

    async def find(self, kid: str | None) -> jwt.PyJWK | None:
        """The key of that name; of no name, the only one. None: there is none. Unavailable: not known."""
        if self._outdated(kid):
            async with self._trying:
                # Others may have waited for the same.
                if self._outdated(kid):
                    await self._try()
        if self._now() - self._fetched_at > MAX_STALE_SECONDS:
            raise Unavailable("the issuer's keys cannot be had")
        return self._keys.get(kid)

    def _outdated(self, kid: str | None) -> bool:
        now = self._now()
        wanted = kid not in self._keys or now - self._fetched_at > CACHE_SECONDS
        return wanted and now - self._tried_at > MIN_REFETCH_SECONDS

    async def _try(self) -> None:
        self._tried_at = self._now()
        try:
            found = _usable(await self._fetch())
        except Unavailable as error:
            log.warning("JWKS fetch failed", error=str(error))
            return
        self._keys = found
        self._fetched_at = self._now()


def _usable(jwks: Mapping[str, Any]) -> Mapping[str | None, jwt.PyJWK]:
    """The keys for signing, by name; the only one also under no name."""
    try:
        usable = [
            key for key in jwt.PyJWKSet.from_dict(dict(jwks)).keys if key.public_key_use in (None, "sig")
        ]
    except (jwt.PyJWTError, AttributeError, TypeError) as error:
        raise Unavailable(f"the issuer's keys make no sense: {error}") from error
    named: dict[str | None, jwt.PyJWK] = {key.key_id: key for key in usable if key.key_id}
    return {**named, None: usable[0]} if len(usable) == 1 else named


def fetch_from_issuer(issuer: str) -> Fetch:
    """From where the issuer says they are: https://openid.net/specs/openid-connect-discovery-1_0.html."""

    async def fetch() -> Mapping[str, Any]:
        # An issuer on this machine is met directly, whatever proxy is set for the way out.
        trust_env = urlsplit(issuer).scheme == "https"
        try:
            async with httpx.AsyncClient(timeout=FETCH_TIMEOUT_SECONDS, trust_env=trust_env) as client:
                about = await _get(client, f"{issuer.rstrip('/')}/.well-known/openid-configuration")
                if about.get("issuer") != issuer:
                    raise Unavailable(f"{issuer} says that it is {about.get('issuer')!r}")
                return await _get(client, _same_scheme(issuer, str(about.get("jwks_uri"))))
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise Unavailable(f"{issuer}: {type(error).__name__} {error}") from error

    return fetch


def fetch_from_file(file: Path) -> Fetch:
    """From a file, which may be written later."""

    async def fetch() -> Mapping[str, Any]:
        try:
            found = json.loads(await asyncio.to_thread(file.read_text))
        except (OSError, ValueError) as error:
            raise Unavailable(f"{file}: {error}") from error
        return found if isinstance(found, dict) else {}

    return fetch


async def _get(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    response = (await client.get(url)).raise_for_status()
    found = response.json()
    if not isinstance(found, dict):
        raise Unavailable(f"{url} is no JSON object")
    return found


def _same_scheme(issuer: str, url: str) -> str:
    if urlsplit(url).scheme != urlsplit(issuer).scheme:
        raise Unavailable(f"the keys of {issuer} are not to be fetched from {url}")
    return url
