"""Customers that retry until they get an answer, and their ledger of accepted orders."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import httpx

from contract.tickets import OPEN
from sagakit.backends import open_backend
from sagakit.errors import Unavailable
from sagakit.runtime import Runtime
from sagakit.settings import BackendSettings
from sagakit.tables import Tables
from services.purchase.storage import ticket_key

BASKETS: tuple[Mapping[str, int], ...] = (
    {"blue": 1},
    {"blue": 3},
    {"red": 2},
    {"blue": 1, "red": 1},
    {"blue": 2, "yellow": 1},
    {"gold": 1},
)
ANSWER_TIMEOUT_SECONDS = 10.0
RETRY_TIMEOUT_SECONDS = 120.0
THINK_SECONDS = 0.6
CANCELS = 0.1
"""Share of orders that are canceled."""
CHECK_INTERVAL_SECONDS = 0.2
MAX_LOOKUP = 500
"""Tickets per poll. A lookup allows 1,000 keys."""
OK, BAD_REQUEST = 200, 400
RETRIED = frozenset({409, 429, 503, 504})
"""Statuses after which a call is retried; every call is idempotent."""


@dataclass(slots=True)
class AcceptedOrder:
    """An order as its customer knows it."""

    basket: Mapping[str, int]
    at: float
    canceled: bool = False
    """The cancellation was confirmed."""
    ended_at: float | None = None
    ending: str = "open"

    @property
    def seconds(self) -> float:
        return (self.ended_at or time.monotonic()) - self.at


class Customers:
    """Customers and their ledger."""

    def __init__(self, gateways: list[str], tables: Tables, seed: int) -> None:
        """`gateways`: URLs, which may change; `tables`: the backend without injected faults."""
        self._gateways = gateways
        self.tables = tables
        self._random = Random(seed)
        self._numbers = itertools.count()
        self.requests = 0
        self.ledger: dict[str, AcceptedOrder] = {}
        self.problems: list[str] = []
        self.failed: Counter[str] = Counter()
        """Requests that had to be retried, by status code or exception."""
        self._closed = asyncio.Event()
        self._customers: list[asyncio.Task[None]] = []

    def open(self, customers: int) -> None:
        """Start `customers` customers."""
        self._customers = [asyncio.create_task(self.customer()) for _ in range(customers)]

    async def close(self) -> None:
        """Stop the customers; wait until each has completed its current order."""
        self._closed.set()
        await asyncio.gather(*self._customers)

    async def wait_until_ended(self, seconds: float) -> None:
        """Wait until every accepted order has ended, or the time is up."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if all(order.ended_at for order in self.ledger.values()):
                return
            await asyncio.sleep(CHECK_INTERVAL_SECONDS)

    async def customer(self) -> None:
        """Place order after order until closed."""
        async with httpx.AsyncClient(timeout=ANSWER_TIMEOUT_SECONDS, trust_env=False) as http:
            while not self._closed.is_set():
                try:
                    await self._order(http, f"cart-{next(self._numbers)}")
                except TimeoutError as error:
                    self.problems.append(str(error))
                await asyncio.sleep(self._random.uniform(0, THINK_SECONDS))

    async def observe(self) -> None:
        """Record when orders end; never returns."""
        while True:
            waiting = [orderid for orderid, order in self.ledger.items() if order.ended_at is None]
            waiting = self._random.sample(waiting, min(len(waiting), MAX_LOOKUP))
            try:
                found = await self.tables.lookup([ticket_key(orderid) for orderid in waiting])
            except Unavailable:
                found = {}
            for key, row in found.items():
                if row.entity["status"] not in OPEN:
                    order = self.ledger[key.name]
                    order.ended_at, order.ending = time.monotonic(), row.entity["status"]
            await asyncio.sleep(CHECK_INTERVAL_SECONDS)

    async def _order(self, http: httpx.AsyncClient, cartid: str) -> None:
        basket = self._random.choice(BASKETS)
        cart = {"cartid": cartid}
        await self._retry(http, "create_cart", cart)
        for itemid, count in basket.items():
            item = {**cart, "itemid": itemid, "count": count, "commandid": itemid}
            await self._retry(http, "add_item", item)
        await self._retry(http, "close_cart", cart)
        answer = await self._retry(http, "checkout", cart)
        orderid = answer.json()["order_ticket"]["orderid"]
        order = self.ledger[orderid] = AcceptedOrder(basket, time.monotonic())
        if self._random.random() < CANCELS:
            await asyncio.sleep(self._random.uniform(0, 0.2))
            answer = await self._retry(http, "cancel_order", {"orderid": orderid})
            order.canceled = answer.status_code == OK

    async def _retry(self, http: httpx.AsyncClient, call: str, body: Mapping[str, Any]) -> httpx.Response:
        deadline = time.monotonic() + RETRY_TIMEOUT_SECONDS
        last: object = None
        while time.monotonic() < deadline:
            self.requests += 1
            gateway = self._gateways[self.requests % len(self._gateways)]
            try:
                answer = await http.post(f"{gateway}/purchase/api/{call}", json=body)
            except httpx.TransportError as error:
                last = error
                self.failed[type(error).__name__] += 1
            else:
                if answer.status_code == OK or (call == "cancel_order" and answer.status_code == BAD_REQUEST):
                    return answer
                last = answer.text
                self.failed[str(answer.status_code)] += 1
                if answer.status_code not in RETRIED:
                    self.problems.append(f"{call} of {dict(body)} was answered {answer.status_code}: {last}")
            await asyncio.sleep(self._random.uniform(0.05, 0.5))
        raise TimeoutError(
            f"{call} of {dict(body)} got no answer for {RETRY_TIMEOUT_SECONDS:g} s; last: {last!r}"
        )


@asynccontextmanager
async def open_customers(
    gateways: list[str], environ: Mapping[str, str], seed: int, customers: int
) -> AsyncIterator[Customers]:
    """Run `customers` customers. `environ` selects the backend in which the end of orders is observed."""
    async with open_backend(BackendSettings.from_environ(environ), Runtime()) as backend:
        running = Customers(gateways, backend.tables, seed)
        running.open(customers)
        observing = asyncio.create_task(running.observe())
        try:
            yield running
        finally:
            observing.cancel()
