"""An open load: orders arrive at times of their own, whether or not earlier ones have ended."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from bench.http import Connection
from bench.orders import Endings

MAX_IN_FLIGHT = 1_000
"""Orders at the same time, each with a connection until its checkout is answered."""
DRAIN_TIMEOUT_SECONDS = 60.0
SAMPLE_INTERVAL_SECONDS = 0.25
OK = "200"


@dataclass(slots=True)
class Observed:
    """The outcomes of a load. Durations are in milliseconds, from the time at which an order was due."""

    sagas: list[float] = field(default_factory=list)
    """Until the order was approved."""
    lags: list[float] = field(default_factory=list)
    """Until the load generator sent the checkout."""
    answers: Counter[str] = field(default_factory=Counter)
    """Checkouts by status code, or by the name of the exception if they have none."""
    in_flight: list[int] = field(default_factory=list)
    """Orders that were due and had not ended, sampled at a constant interval until the last arrival."""
    unsent: int = 0
    """Orders that were due while MAX_IN_FLIGHT others were in flight."""
    unfinished: int = 0
    """Orders accepted, and not approved when the load was over and its drain timeout had passed."""


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """Return the times of orders, in seconds from the start: a Poisson process with exponential gaps."""
    random, times, at = Random(seed), list[float](), 0.0
    while (at := at + random.expovariate(rate)) < seconds:
        times.append(at)
    return times


class OpenLoop:
    """Checks out carts when they are due. Bounded: no more than `max_in_flight` orders at the same time.

    It never retries, and a late answer delays no other order.
    """

    def __init__(
        self,
        gateway: str,
        endings: Endings,
        max_in_flight: int = MAX_IN_FLIGHT,
        drain_timeout_seconds: float = DRAIN_TIMEOUT_SECONDS,
    ) -> None:
        self._gateway = gateway
        self._endings = endings
        self._max_in_flight = max_in_flight
        self._drain_timeout_seconds = drain_timeout_seconds
        self._idle: list[Connection] = []
        self._orders: set[asyncio.Task[None]] = set()
        self.observed = Observed()

    async def run(self, carts: Sequence[str], times: Sequence[float], seconds: float) -> None:
        """Check out each cart at its time; return when `seconds` have passed."""
        sampling = asyncio.create_task(self._sample())
        try:
            started_at = time.perf_counter()
            for cartid, at in zip(carts, times, strict=True):
                await _sleep_until(started_at + at)
                self._start(cartid, started_at + at)
            await _sleep_until(started_at + seconds)
        finally:
            sampling.cancel()

    async def drain(self) -> None:
        """Wait until all orders have ended, or the drain timeout has passed."""
        if self._orders:
            _, pending = await asyncio.wait(self._orders, timeout=self._drain_timeout_seconds)
            self.observed.unfinished += len(pending)
            await self._cancel(pending)

    async def aclose(self) -> None:
        """End what is still in progress and close all connections."""
        await self._cancel(self._orders)
        for connection in self._idle:
            connection.close()

    def _start(self, cartid: str, due_at: float) -> None:
        if len(self._orders) >= self._max_in_flight:
            self.observed.unsent += 1
            return
        order = asyncio.create_task(self._order(cartid, due_at))
        self._orders.add(order)
        order.add_done_callback(self._ended)

    def _ended(self, order: asyncio.Task[None]) -> None:
        self._orders.discard(order)
        if not order.cancelled() and (error := order.exception()) is not None:
            self.observed.answers[type(error).__name__] += 1

    async def _order(self, cartid: str, due_at: float) -> None:
        self.observed.lags.append(_milliseconds_since(due_at))
        connection = self._idle.pop() if self._idle else Connection(self._gateway)
        try:
            status, _, answer = await connection.post("/purchase/api/checkout", {"cartid": cartid})
        finally:
            self._idle.append(connection)
        self.observed.answers[str(status)] += 1
        if str(status) == OK:
            await self._approval(json.loads(answer)["order_ticket"]["orderid"], due_at)

    async def _approval(self, orderid: str, due_at: float) -> None:
        try:
            ended_at = await self._endings.of(orderid)
        except TimeoutError:
            self.observed.unfinished += 1
        else:
            self.observed.sagas.append((ended_at - due_at) * 1000)

    async def _sample(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_INTERVAL_SECONDS)
            self.observed.in_flight.append(len(self._orders))

    @staticmethod
    async def _cancel(orders: set[asyncio.Task[None]]) -> None:
        for order in list(orders):
            order.cancel()
        await asyncio.gather(*orders, return_exceptions=True)


def _milliseconds_since(at: float) -> float:
    return (time.perf_counter() - at) * 1000


async def _sleep_until(at: float) -> None:
    await asyncio.sleep(max(0.0, at - time.perf_counter()))
