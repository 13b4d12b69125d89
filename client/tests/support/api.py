"""An API whose responses a test gives."""

from typing import Any

import httpx

from sagaclient import RetryPolicy, SagaClient

QUICK = RetryPolicy(max_attempts=3, initial_backoff=0.001)

Response = httpx.Response | Exception


class Api(httpx.AsyncBaseTransport):
    """Returns or raises the given responses in order, and records the requests."""

    def __init__(self, *responses: Response) -> None:
        self._responses = list(responses)
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        response = self._responses.pop(0)
        if isinstance(response, Exception):
            raise response
        return response

    def client(self, **options: Any) -> SagaClient:
        return SagaClient("http://api", transport=self, **{"retries": QUICK, **options})

    @property
    def keys(self) -> list[str | None]:
        return [request.headers.get("Idempotency-Key") for request in self.requests]


def ok(content: Any, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=content)


def problem(status: int, reason: str = "odd", **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"status": status, "reason": reason, "detail": "so"}, headers=headers)


LOST = httpx.ReadError("connection reset")
