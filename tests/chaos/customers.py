"""Customers that retry until they get an answer, and their ledger of accepted orders."""

import asyncio
import itertools
import time
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
from tests.support.customers import requests
from tests.support.customers.calls import ANSWER_TIMEOUT_SECONDS, Caller, Request
from tests.support.customers.parties import Parties
from tests.support.shop_history import Seen, ShopHistory

BASKETS: tuple[Mapping[str, int], ...] = (
    {"blue": 1},
    {"blue": 3},
    {"red": 2},
    {"blue": 1, "red": 1},
    {"blue": 2, "yellow": 1},
    {"gold": 1},
)
ALONE = 0.5
"""Share of orders that one customer places; the others are those of parties."""
ME = "me"
UNLIMITED = httpx.Limits(max_connections=None)
THINK_SECONDS = 0.6
CANCELS = 0.1
"""Share of orders that are canceled."""
CHECK_INTERVAL_SECONDS = 0.2
MAX_LOOKUP = 500
"""Tickets per poll. A lookup allows 1,000 keys."""


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

    def __init__(self, gateways: list[str], tables: Tables, seed: int, *, removing: bool = True) -> None:
        """`gateways`: URLs, which may change; `tables`: the backend without injected faults.

        `removing`: whether they remove items, with whatever is stored in them.
        """
        self.tables = tables
        self._random = Random(seed)
        self._numbers = itertools.count()
        self.history = ShopHistory()
        """Every call, of all customers."""
        self._calls = Caller(gateways, self.history, self._random)
        self._http = httpx.AsyncClient(timeout=ANSWER_TIMEOUT_SECONDS, trust_env=False, limits=UNLIMITED)
        self._parties = Parties(self._calls, self._http, self._random, removing=removing)
        self.ledger: dict[str, AcceptedOrder] = {}
        self.problems = self._calls.problems
        self._closed = asyncio.Event()
        self._customers: list[asyncio.Task[None]] = []

    @property
    def requests(self) -> int:
        """How many requests were sent."""
        return self._calls.requests

    @property
    def failed(self) -> Mapping[str, int]:
        """Requests that had to be retried, by status code or exception."""
        return self._calls.failed

    def open(self, customers: int) -> None:
        """Start `customers` customers."""
        self._customers = [asyncio.create_task(self.customer()) for _ in range(customers)]

    async def close(self) -> None:
        """Stop the customers; wait until each has completed its current order."""
        self._closed.set()
        await asyncio.gather(*self._customers)
        await self._parties.close()
        await self._http.aclose()

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
        """Order by the older routes alone, or with others by /v1."""
        basket = self._random.choice(BASKETS)
        if self._random.random() < ALONE:
            orderid = await self._order_alone(http, cartid, basket)
            order = self.ledger[orderid] = AcceptedOrder(basket, time.monotonic())
            if self._random.random() < CANCELS:
                await self._cancel(http, order, requests.older_cancel_order(orderid))
            self.history.check_order(orderid)
        else:
            orderid, basket = await self._parties.order(cartid, basket)
            order = self.ledger[orderid] = AcceptedOrder(basket, time.monotonic())
            cancels = self._random.random() < CANCELS
            canceling = (
                [self._cancel(self._http, order, requests.cancel_order(orderid, "k"))] if cancels else []
            )
            self._parties.follow(orderid, *canceling)

    async def _cancel(self, http: httpx.AsyncClient, order: AcceptedOrder, request: Request) -> None:
        await asyncio.sleep(self._random.uniform(0, 0.2))
        order.canceled = isinstance(await self._calls.call(ME, http, request), Seen)

    async def _order_alone(self, http: httpx.AsyncClient, cartid: str, basket: Mapping[str, int]) -> str:
        async def call(rpc: str, **item: Any) -> Any:
            return await self._calls.call(ME, http, requests.older(cartid, rpc, **item))

        await call("create_cart")
        for itemid, count in basket.items():
            await call("add_item", itemid=itemid, count=count, commandid=itemid)
        await call("close_cart")
        orderid: str = await call("checkout")
        self.history.check_cart(cartid)
        return orderid


@asynccontextmanager
async def open_customers(
    gateways: list[str], environ: Mapping[str, str], seed: int, customers: int, *, removing: bool = True
) -> AsyncIterator[Customers]:
    """Run `customers` customers. `environ` selects the backend in which the end of orders is observed."""
    async with open_backend(BackendSettings.from_environ(environ), Runtime()) as backend:
        running = Customers(gateways, backend.tables, seed, removing=removing)
        running.open(customers)
        observing = asyncio.create_task(running.observe())
        try:
            yield running
        finally:
            observing.cancel()
