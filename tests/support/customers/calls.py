"""Calls of customers to any of the gateways, sent until they are answered; every attempt is recorded."""

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from tests.support.shop_history import ShopHistory

ANSWER_TIMEOUT_SECONDS = 10.0
RETRY_TIMEOUT_SECONDS = 120.0
FIRST_PAUSE_SECONDS = 0.2
"""Before a request is sent again; it doubles, up to a sixtieth of the time for which calls are retried."""
SUCCESSFUL = frozenset({200, 201, 202, 304})
RETRIED = frozenset({409, 429, 503, 504})
"""Statuses after which a call is retried, unless it is rejected for the state of the cart or order."""
REJECTED = frozenset({400, 404, 409})
CONTENTION = "contention"


@dataclass(frozen=True, slots=True)
class Request:
    """A call, which can be sent any number of times."""

    method: str
    path: str
    resource: Hashable
    """The cart or order, in the history."""
    asks: Any
    """The request, in the history."""
    read: Callable[[httpx.Response], Any]
    """Returns what a successful response answers."""
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str | None = None
    recorded: Callable[[Any], Any] = lambda answer: answer
    """Returns what the history keeps of an answer."""
    may_be_rejected: bool = False
    """Whether the answer may be a reason why the request is not executed."""


class Caller:
    """Sends requests and records them."""

    def __init__(
        self,
        gateways: list[str],
        history: ShopHistory,
        random: Random,
        retry_seconds: float = RETRY_TIMEOUT_SECONDS,
    ) -> None:
        """`gateways`: URLs, which may change. `retry_seconds`: how long a call is retried."""
        self._gateways = gateways
        self._retry_seconds = retry_seconds
        self._random = random
        self.history = history
        self.requests = 0
        self.failed: Counter[str] = Counter()
        """Requests that had to be retried, by status code or exception."""
        self.problems: list[str] = []

    def gateway(self) -> str:
        """Return the URL of the gateway whose turn it is."""
        self.requests += 1
        return self._gateways[self.requests % len(self._gateways)]

    def pauses(self) -> Iterator[float]:
        """Yield the seconds to wait before a request is sent again, each time it is."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            yield self._random.uniform(pause / 2, pause)
            pause = min(2 * pause, self._retry_seconds / 60)

    async def call(self, client: str, http: httpx.AsyncClient, request: Request) -> Any:
        """Return the answer; a rejection, if the request may be rejected, is its reason, a string.

        Raises TimeoutError if it gets none for as long as calls are retried.
        """
        now = asyncio.get_running_loop().time
        deadline, last, pauses = now() + self._retry_seconds, "", self.pauses()
        while now() < deadline:
            answered, last = await self._attempt(client, http, request)
            if answered:
                return last
            await asyncio.sleep(next(pauses))
        what = f"{request.method} {request.path}"
        raise TimeoutError(f"{what} got no answer for {self._retry_seconds:g} s; last: {last!r}")

    async def _attempt(self, client: str, http: httpx.AsyncClient, request: Request) -> tuple[bool, Any]:
        """Return whether there is an answer, and the answer, or the failure."""
        history, gateway = self.history.calls, self.gateway()
        call = history.begin(client, request.resource, request.asks, request.idempotency_key)
        sent = {"json": request.body, "headers": request.headers}
        try:
            response = await http.request(request.method, f"{gateway}{request.path}", **sent)
        except httpx.TransportError as error:
            # Without a connection nothing was sent.
            fails = history.failed if isinstance(error, httpx.ConnectError) else history.unknown
            fails(call)
            self.failed[type(error).__name__] += 1
            return False, repr(error)
        if response.status_code in SUCCESSFUL:
            answer = request.read(response)
            history.ok(call, request.recorded(answer))
            return True, answer
        reason = _reason(response)
        if request.may_be_rejected and response.status_code in REJECTED and reason != CONTENTION:
            history.ok(call, reason)
            return True, reason
        history.unknown(call)
        self.failed[str(response.status_code)] += 1
        if response.status_code not in RETRIED:
            what = f"{request.method} {request.path} {request.body}"
            self.problems.append(f"{what} was answered {response.status_code}: {response.text}")
        return False, response.text


def _reason(response: httpx.Response) -> str:
    try:
        return str(response.json()["reason"])
    except (ValueError, LookupError, TypeError):
        return f"{response.status_code} without a reason"
