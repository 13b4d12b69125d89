"""Customers who insist on an answer, and their own ledger of the orders that were accepted."""

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

BASKETS: tuple[Mapping[str, int], ...] = (
    {"blue": 1},
    {"blue": 3},
    {"red": 2},
    {"blue": 1, "red": 1},
    {"blue": 2, "yellow": 1},
    {"gold": 1},
)
ANSWER_SECONDS = 10.0
INSIST_SECONDS = 120.0
THINK_SECONDS = 0.6
CANCELS = 0.1
"""The share of orders that are called off."""
CHECK_INTERVAL_SECONDS = 0.2
LOOKED_AT = 500
"""A lookup is for 1,000 keys at most."""
OK, BAD_REQUEST = 200, 400
AGAIN = frozenset({409, 429, 503, 504})
"""Nobody was to be had, or nobody knows: asked again, since every call may be."""


@dataclass(slots=True)
class AcceptedOrder:
    """An order as its customer has it."""

    basket: Mapping[str, int]
    at: float
    canceled: bool = False
    """It was called off, and that was confirmed."""
    ended_at: float | None = None
    ending: str = "open"

    @property
    def seconds(self) -> float:
        return (self.ended_at or time.monotonic()) - self.at


class Customers:
    """Customers, and what they know."""

    def __init__(self, gateways: list[str], tables: Tables, seed: int) -> None:
        """`tables`: where it is seen that an order has ended, past what goes wrong on the way there."""
        self._gateways = itertools.cycle(gateways)
        self.tables = tables
        self._random = Random(seed)
        self._numbers = itertools.count()
        self.ledger: dict[str, AcceptedOrder] = {}
        self.problems: list[str] = []
        self._closed = asyncio.Event()
        self._customers: list[asyncio.Task[None]] = []

    def open(self, customers: int) -> None:
        """Let so many customers in."""
        self._customers = [asyncio.create_task(self.customer()) for _ in range(customers)]

    async def close(self) -> None:
        """Return once all customers have left, each with the answers to what it had begun."""
        self._closed.set()
        await asyncio.gather(*self._customers)

    async def all_ended(self, within_seconds: float) -> None:
        """Return once no order is open that was accepted, or the time is up."""
        deadline = time.monotonic() + within_seconds
        while time.monotonic() < deadline:
            if all(order.ended_at for order in self.ledger.values()):
                return
            await asyncio.sleep(CHECK_INTERVAL_SECONDS)

    async def customer(self) -> None:
        """Order after order, until the shop is closed."""
        async with httpx.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False) as http:
            while not self._closed.is_set():
                try:
                    await self._order(http, f"cart-{next(self._numbers)}")
                except TimeoutError as error:
                    self.problems.append(str(error))
                await asyncio.sleep(self._random.uniform(0, THINK_SECONDS))

    async def watch(self) -> None:
        """Note when orders end; never returns."""
        while True:
            waiting = [orderid for orderid, order in self.ledger.items() if order.ended_at is None]
            waiting = self._random.sample(waiting, min(len(waiting), LOOKED_AT))
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
        await self._insist(http, "create_cart", cart)
        for itemid, count in basket.items():
            item = {**cart, "itemid": itemid, "count": count, "commandid": itemid}
            await self._insist(http, "add_item", item)
        await self._insist(http, "close_cart", cart)
        answer = await self._insist(http, "checkout", cart)
        orderid = answer.json()["order_ticket"]["orderid"]
        order = self.ledger[orderid] = AcceptedOrder(basket, time.monotonic())
        if self._random.random() < CANCELS:
            await asyncio.sleep(self._random.uniform(0, 0.2))
            refused_or_done = await self._insist(http, "cancel_order", {"orderid": orderid})
            order.canceled = refused_or_done.status_code == OK

    async def _insist(self, http: httpx.AsyncClient, call: str, body: Mapping[str, Any]) -> httpx.Response:
        deadline = time.monotonic() + INSIST_SECONDS
        last: object = None
        while time.monotonic() < deadline:
            try:
                answer = await http.post(f"{next(self._gateways)}/purchase/api/{call}", json=body)
            except httpx.TransportError as error:
                last = error
            else:
                if answer.status_code == OK or (call == "cancel_order" and answer.status_code == BAD_REQUEST):
                    return answer
                last = answer.text
                if answer.status_code not in AGAIN:
                    self.problems.append(f"{call} of {dict(body)} was answered {answer.status_code}: {last}")
            await asyncio.sleep(self._random.uniform(0.05, 0.5))
        raise TimeoutError(
            f"{call} of {dict(body)} had no answer for {INSIST_SECONDS:g} s; at last: {last!r}"
        )


@asynccontextmanager
async def open_customers(
    gateways: list[str], environ: Mapping[str, str], seed: int, customers: int
) -> AsyncIterator[Customers]:
    """A shop with so many customers in it. `environ` names the backend in which ends of orders are seen."""
    async with open_backend(BackendSettings.from_environ(environ), Runtime()) as backend:
        shop = Customers(gateways, backend.tables, seed)
        shop.open(customers)
        watching = asyncio.create_task(shop.watch())
        try:
            yield shop
        finally:
            watching.cancel()
