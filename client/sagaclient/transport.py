"""Requests that are made again where no answer came, under the key they had."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from sagaclient.errors import APIStatusError, InvalidResponseError, TransportError, refusal
from sagaclient.retries import RetryPolicy

Token = Callable[[], str]
"""Gives the bearer token that is valid now."""
Sleep = Callable[[float], Awaitable[None]]


class Transport:
    """Makes requests of the API until they are answered for good."""

    def __init__(
        self, http: httpx.AsyncClient, token: Token | None, retries: RetryPolicy, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._http = http
        self._token = token
        self._retries = retries
        self._sleep = sleep

    async def get(self, path: str, params: Mapping[str, Any] | None = None, longer_seconds: float = 0) -> Any:
        """The JSON there; the answer may take so much longer than usual."""
        timeout = httpx.Timeout(self._http.timeout)
        timeout.read = None if timeout.read is None else timeout.read + longer_seconds
        return await self._ask("GET", path, {}, params=params, timeout=timeout)

    async def change(self, method: str, path: str, key: str | None, json: Any = None) -> Any:
        """The JSON that a change is answered with: made once, under `key` or one of its own."""
        return await self._ask(method, path, {"Idempotency-Key": key or str(uuid.uuid4())}, json=json)

    @asynccontextmanager
    async def stream(self, path: str, headers: Mapping[str, str]) -> AsyncIterator[httpx.Response]:
        """An answer that is read as it comes. One attempt: raises TransportError where it breaks off."""
        try:
            # What arrives keeps the connection alive, however long it all takes.
            async with self._http.stream("GET", path, headers=self._headers(headers)) as response:
                if not response.is_success:
                    await response.aread()
                    raise _refused(response)
                yield response
        except httpx.TransportError as error:
            raise _no_answer("GET", path, error) from error

    async def pause(self, attempt: int, error: TransportError | APIStatusError) -> None:
        """Wait before the attempt after that one; raise `error` where there is to be none."""
        seconds = self._retries.pause(attempt, error)
        if seconds is None:
            raise error
        await self._sleep(seconds)

    async def _ask(self, method: str, path: str, headers: Mapping[str, str], **how: Any) -> Any:
        attempt = 0
        while True:
            try:
                return await self._attempt(method, path, headers, **how)
            except (TransportError, APIStatusError) as error:
                await self.pause(attempt, error)
            attempt += 1

    async def _attempt(self, method: str, path: str, headers: Mapping[str, str], **how: Any) -> Any:
        try:
            response = await self._http.request(method, path, headers=self._headers(headers), **how)
        except httpx.TransportError as error:
            raise _no_answer(method, path, error) from error
        if not response.is_success:
            raise _refused(response)
        try:
            return response.json()
        except ValueError as error:
            raise InvalidResponseError(f"{method} {path} was answered with what is no JSON") from error

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        signed = {"Authorization": f"Bearer {self._token()}"} if self._token else {}
        return {**signed, **headers}


def _no_answer(method: str, path: str, error: Exception) -> TransportError:
    return TransportError(f"no answer to {method} {path}: {str(error) or type(error).__name__}")


def _refused(response: httpx.Response) -> APIStatusError:
    try:
        problem = response.json()
    except ValueError:
        problem = None
    return refusal(response.status_code, problem, response.headers.get("Retry-After"))
