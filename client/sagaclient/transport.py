"""HTTP requests with a token, retries and idempotency keys."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from sagaclient.errors import APIStatusError, InvalidResponseError, TransportError, status_error
from sagaclient.retries import RetryPolicy

Token = Callable[[], str]
"""Returns a valid bearer token; called for every attempt."""
Sleep = Callable[[float], Awaitable[None]]


class Transport:
    """Sends requests to the API, and retries them by the policy."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        token: Token | None,
        retries: RetryPolicy,
        sleep: Sleep = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._token = token
        self._retries = retries
        self._sleep = sleep
        self.monotonic = monotonic

    async def get(self, path: str, params: Mapping[str, Any] | None = None, extra_seconds: float = 0) -> Any:
        """Return the JSON at `path`; the read timeout is `extra_seconds` longer than usual."""
        timeout = httpx.Timeout(self._http.timeout)
        timeout.read = None if timeout.read is None else timeout.read + extra_seconds
        return await self._request("GET", path, {}, params=params, timeout=timeout)

    async def change(self, method: str, path: str, key: str | None, json: Any = None) -> Any:
        """Send a change and return the response's JSON; all attempts carry `key`, or one new key."""
        return await self._request(method, path, {"Idempotency-Key": key or str(uuid.uuid4())}, json=json)

    @asynccontextmanager
    async def stream(
        self, path: str, headers: Mapping[str, str], silence_seconds: float
    ) -> AsyncIterator[httpx.Response]:
        """Open a streamed response, in one attempt.

        Raises TransportError if it is interrupted, or nothing is received for `silence_seconds`.
        """
        timeout = httpx.Timeout(self._http.timeout)
        timeout.read = silence_seconds
        try:
            async with self._http.stream(
                "GET", path, headers=self._headers(headers), timeout=timeout
            ) as response:
                if not response.is_success:
                    await response.aread()
                    raise _status_error(response)
                yield response
        except httpx.TransportError as error:
            raise _transport_error("GET", path, error) from error

    async def back_off(
        self, attempt: int, error: TransportError | APIStatusError, wanted_seconds: float = 0
    ) -> None:
        """Wait after attempt number `attempt` failed. Raises `error` if it is not to be retried.

        Waits for at least `wanted_seconds`, which the server asked for, up to the policy's limit.
        """
        delay = self._retries.delay(attempt, error)
        if delay is None:
            raise error
        await self._sleep(max(delay, min(wanted_seconds, self._retries.max_retry_after)))

    async def _request(self, method: str, path: str, headers: Mapping[str, str], **options: Any) -> Any:
        attempt = 0
        while True:
            try:
                return await self._attempt(method, path, headers, **options)
            except (TransportError, APIStatusError) as error:
                await self.back_off(attempt, error)
            attempt += 1

    async def _attempt(self, method: str, path: str, headers: Mapping[str, str], **options: Any) -> Any:
        try:
            response = await self._http.request(method, path, headers=self._headers(headers), **options)
        except httpx.TransportError as error:
            raise _transport_error(method, path, error) from error
        if not response.is_success:
            raise _status_error(response)
        try:
            return response.json()
        except (ValueError, RecursionError) as error:
            raise InvalidResponseError(f"{method} {path}: the response is not JSON") from error

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        authorization = {"Authorization": f"Bearer {self._token()}"} if self._token else {}
        return {**authorization, **headers}


def _transport_error(method: str, path: str, error: Exception) -> TransportError:
    return TransportError(f"no response to {method} {path}: {str(error) or type(error).__name__}")


def _status_error(response: httpx.Response) -> APIStatusError:
    try:
        problem = response.json()
    except (ValueError, RecursionError):
        problem = None
    return status_error(response.status_code, problem, response.headers.get("Retry-After"))
