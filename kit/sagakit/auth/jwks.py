"""The issuer's public keys (JWKS): fetched, cached, and fetched again when they may have changed."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import structlog

from sagakit import deadline
from sagakit.errors import Unavailable
from sagakit.runtime import Runtime
from sagakit.untrusted import parse_json

log = structlog.get_logger()

CACHE_SECONDS = 600.0
"""How long cached keys are used before a refresh. A revoked key is accepted for at most this long while the
issuer responds."""
MAX_STALE_SECONDS = 24 * 3600.0
"""How long cached keys are used, and a revoked key is accepted, while the issuer does not respond."""
STALE_RETRY_SECONDS = 10.0
"""Interval between attempts to refresh keys that are older than CACHE_SECONDS."""
MIN_REFETCH_SECONDS = 1.0
"""Minimum interval between JWKS fetches, so that tokens with unknown key ids cannot cause excessive
requests to the issuer. A token with an unknown key id waits for the next fetch."""
MAX_WAIT_SECONDS = 5.0
"""How long a token waits for a fetch."""
MAX_WAITING = 128
"""Tokens with unknown key ids that wait at the same time, so that forged ones cannot occupy a server."""
FETCH_TIMEOUT_SECONDS = 5.0
# A local issuer is not reached through the proxy for outgoing requests.
_DIRECT = dict.fromkeys(("all://127.0.0.1", "all://[::1]", "all://localhost", "all://*.localhost"))

Fetch = Callable[[], Awaitable[Mapping[str, Any]]]
"""Returns the JWKS. Raises Unavailable if the fetch fails."""


class JwksCache:
    """The keys of one issuer. Ages are measured by the monotonic clock, so clock steps do not matter.

    There is one fetch at a time; tokens that need it wait for the one under way.
    """

    def __init__(self, fetch: Fetch, runtime: Runtime) -> None:
        self._fetch = fetch
        self._monotonic = runtime.monotonic
        self._sleep = runtime.sleep
        self._keys: Mapping[str | None, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._refreshing: asyncio.Task[bool] | None = None
        self._is_fetching = False
        self._waiting = 0

    async def find(self, kid: str | None) -> jwt.PyJWK | None:
        """Return the key with that id, or without an id the issuer's only key; None if it has no such key.

        Raises Unavailable if that is not known.
        """
        if kid not in self._keys:
            await self._find_unknown(kid)
        elif self._age > CACHE_SECONDS:
            await self._renew()
        if self._age > MAX_STALE_SECONDS:
            raise Unavailable("the issuer's keys cannot be fetched")
        return self._keys.get(kid)

    @property
    def _age(self) -> float:
        return self._monotonic() - self._fetched_at

    async def _find_unknown(self, kid: str | None) -> None:
        """Return when a fetch has succeeded that began after this call, or found the key."""
        # At a cold start every token has to wait; later only those of a new key, or forged ones.
        if self._keys and self._waiting >= MAX_WAITING:
            raise Unavailable("too many tokens with unknown keys")
        self._waiting += 1
        try:
            async with asyncio.timeout(deadline.remaining(MAX_WAIT_SECONDS)):
                # A fetch that is under way may have been answered before the issuer had the key.
                is_early = self._is_fetching
                succeeded = await self._refresh()
                if is_early and kid not in self._keys:
                    succeeded = await self._refresh()
        except TimeoutError:
            succeeded = False
        finally:
            self._waiting -= 1
        if kid not in self._keys and not succeeded:
            raise Unavailable("the issuer's keys cannot be fetched")

    async def _renew(self) -> None:
        """Refresh old keys; only the call that begins the attempt waits, others use what is cached."""
        is_under_way = self._refreshing is not None and not self._refreshing.done()
        if not is_under_way and self._monotonic() - self._tried_at > STALE_RETRY_SECONDS:
            with suppress(TimeoutError):
                async with asyncio.timeout(deadline.remaining(MAX_WAIT_SECONDS)):
                    await self._refresh()

    def _refresh(self) -> Awaitable[bool]:
        """Begin a refresh unless one is under way; wait for it. Returns whether it succeeded."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh_once())
        # A caller that gives up does not end it for the others.
        return asyncio.shield(self._refreshing)

    async def _refresh_once(self) -> bool:
        pause = self._tried_at + MIN_REFETCH_SECONDS - self._monotonic()
        if pause > 0:
            await self._sleep(pause)
        self._tried_at, self._is_fetching = self._monotonic(), True
        try:
            self._keys = _signing_keys(await self._fetch())
        except Unavailable as error:
            log.warning("JWKS fetch failed", error=str(error))
            return False
        finally:
            self._is_fetching = False
        self._fetched_at = self._monotonic()
        return True


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
        try:
            async with httpx.AsyncClient(timeout=FETCH_TIMEOUT_SECONDS, mounts=_DIRECT) as client:
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
