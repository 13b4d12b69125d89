"""More customers than the suite can serve, who do not wait for as long as they are told to."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping
from itertools import count
from random import Random
from typing import Any

from bench.http import Connection
from tests.chaos.customers import BASKETS, INSIST_SECONDS, OK, AcceptedOrder, Customers

IMPATIENCE_SECONDS = (0.05, 0.2)
REFUSALS = frozenset({429, 503})
ANSWER_SECONDS = 30.0
FACES = 100
"""Customers that come in at a time: a listening socket keeps only so many waiting."""


class LoadGenerator:
    """Customers who order as fast as they are let."""

    def __init__(self, gateways: list[str], shop: Customers, seed: int) -> None:
        self._gateways = gateways
        self._shop = shop
        self._random = Random(seed)
        self._numbers = count()
        self._until = 0.0
        self.answers: Counter[str] = Counter()
        """By status, or the name of what was raised."""

    async def rush(self, customers: int, seconds: float) -> float:
        """So many of them, for so long; the orders that were accepted per second."""
        before, began = len(self._shop.ledger), time.monotonic()
        self._until = began + seconds
        door = asyncio.Semaphore(FACES)
        await asyncio.gather(*(self._customer(number, door) for number in range(customers)))
        return (len(self._shop.ledger) - before) / (time.monotonic() - began)

    async def _customer(self, number: int, door: asyncio.Semaphore) -> None:
        connection = Connection(self._gateways[number % len(self._gateways)], ANSWER_SECONDS)
        async with door:
            await self._insist(connection, "get_cart", {"cartid": "nobody-s"}, self._until)
        while time.monotonic() < self._until:
            await self._order(connection, f"crowd-{next(self._numbers)}")
        connection.close()

    async def _order(self, connection: Connection, cartid: str) -> None:
        basket = self._random.choice(BASKETS)
        cart = {"cartid": cartid}
        calls = [
            ("create_cart", cart),
            *(
                ("add_item", {**cart, "itemid": itemid, "count": pieces, "commandid": itemid})
                for itemid, pieces in basket.items()
            ),
            ("close_cart", cart),
            ("checkout", cart),
        ]
        answer = b""
        for call, body in calls:
            # An order whose checkout was begun is insisted on: it may have been accepted.
            until = time.monotonic() + INSIST_SECONDS if call == "checkout" else self._until
            answer = await self._insist(connection, call, body, until)
            if not answer:
                if call == "checkout":
                    self._shop.problems.append(f"the checkout of {cartid} had no answer")
                return
        self._shop.ledger[json.loads(answer)["order_ticket"]["orderid"]] = AcceptedOrder(
            basket, time.monotonic()
        )

    async def _insist(
        self, connection: Connection, call: str, body: Mapping[str, Any], until: float
    ) -> bytes:
        """The answer; none where the time is up."""
        while time.monotonic() < until:
            try:
                status, headers, answer = await connection.post(f"/purchase/api/{call}", body)
            except (OSError, EOFError, TimeoutError) as error:
                self.answers[type(error).__name__] += 1
            else:
                self.answers[str(status)] += 1
                if status == OK or (status == 404 and call == "get_cart"):
                    return answer
                if status in REFUSALS and "retry-after" not in headers:
                    self._shop.problems.append(f"{call} was refused with {status} and no Retry-After")
                if status == 500:
                    self._shop.problems.append(f"{call} was answered 500: {answer!r}")
            await asyncio.sleep(self._random.uniform(*IMPATIENCE_SECONDS))
        return b""
