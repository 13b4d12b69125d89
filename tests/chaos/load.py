"""A load generator: more customers than the suite can serve, which ignore Retry-After."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count
from random import Random
from typing import Any

from bench.http import Connection
from tests.chaos.customers import BASKETS, AcceptedOrder, Customers
from tests.support.customers.calls import RETRY_TIMEOUT_SECONDS

RETRY_SECONDS = (0.05, 0.2)
OK = 200
OVERLOAD_STATUSES = frozenset({429, 503})
ANSWER_TIMEOUT_SECONDS = 30.0
MAX_CONNECTING = 100
"""Maximum concurrent connection attempts; the backlog of a listening socket is limited."""


class LoadGenerator:
    """Customers that order as fast as the suite accepts."""

    def __init__(
        self,
        gateways: list[str],
        customers: Customers,
        seed: int,
        baskets: Sequence[Mapping[str, int]] = BASKETS,
    ) -> None:
        self._baskets = baskets
        self._gateways = gateways
        self._customers = customers
        self._random = Random(seed)
        self._numbers = count()
        self._until = 0.0
        self.answers: Counter[str] = Counter()
        """Counts by status code, or by exception name."""

    async def run(self, customers: int, seconds: float) -> float:
        """Run `customers` customers for `seconds`; return the accepted orders per second."""
        before, started_at = len(self._customers.ledger), time.monotonic()
        self._until = started_at + seconds
        connecting = asyncio.Semaphore(MAX_CONNECTING)
        await asyncio.gather(*(self._customer(number, connecting) for number in range(customers)))
        return (len(self._customers.ledger) - before) / (time.monotonic() - started_at)

    async def _customer(self, number: int, connecting: asyncio.Semaphore) -> None:
        connection = Connection(self._gateways[number % len(self._gateways)], ANSWER_TIMEOUT_SECONDS)
        async with connecting:
            await self._retry(connection, "get_cart", {"cartid": "unknown"}, self._until)
        while time.monotonic() < self._until:
            await self._order(connection, f"load-{next(self._numbers)}")
        connection.close()

    async def _order(self, connection: Connection, cartid: str) -> None:
        basket = self._random.choice(self._baskets)
        cart = {"cartid": cartid}
        calls = [
            ("create_cart", cart),
            *(
                ("add_item", {**cart, "itemid": itemid, "count": quantity, "commandid": itemid})
                for itemid, quantity in basket.items()
            ),
            ("close_cart", cart),
            ("checkout", cart),
        ]
        answer = b""
        for call, body in calls:
            # A checkout that was sent is retried to the end, because it may have been accepted.
            until = time.monotonic() + RETRY_TIMEOUT_SECONDS if call == "checkout" else self._until
            answer = await self._retry(connection, call, body, until)
            if not answer:
                if call == "checkout":
                    self._customers.problems.append(f"the checkout of {cartid} had no answer")
                return
        self._customers.ledger[json.loads(answer)["order_ticket"]["orderid"]] = AcceptedOrder(
            basket, time.monotonic()
        )

    async def _retry(self, connection: Connection, call: str, body: Mapping[str, Any], until: float) -> bytes:
        """Return the answer, or b"" if the time is up."""
        while time.monotonic() < until:
            try:
                status, headers, answer = await connection.post(f"/purchase/api/{call}", body)
            except (OSError, EOFError, TimeoutError) as error:
                self.answers[type(error).__name__] += 1
            else:
                self.answers[str(status)] += 1
                if status == OK or (status == 404 and call == "get_cart"):
                    return answer
                if status in OVERLOAD_STATUSES and "retry-after" not in headers:
                    self._customers.problems.append(f"{call} was rejected with {status} and no Retry-After")
                if status == 500:
                    self._customers.problems.append(f"{call} was answered 500: {answer!r}")
            await asyncio.sleep(self._random.uniform(*RETRY_SECONDS))
        return b""
