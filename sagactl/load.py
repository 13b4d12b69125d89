"""A load of paced orders through the gateway, and the ledger with which they are compared at the end."""

import asyncio
import random
import uuid
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from contract.tickets import CANCELED, FAILED, TERMINAL
from sagaclient import CartItem, Conflict, NotFound, Order, RetryPolicy, SagaClient, SagaClientError

T = TypeVar("T")

MAX_READS = 50
"""Orders being read at the same time. With those being placed these are the client's connections."""
MAX_OPEN = 10_000
MAX_PROBLEMS = 100
REPEATS, CANCELS = 0.2, 0.1
"""Shares of orders whose every change is sent twice, and that are canceled."""


@dataclass(frozen=True, slots=True)
class CountedRetries(RetryPolicy):
    """Retries a call for about half a minute, and counts the retries by error."""

    max_attempts: int = 8
    counts: Counter[str] = field(default_factory=Counter)

    def delay(self, attempt: int, error: SagaClientError) -> float | None:
        delay = RetryPolicy.delay(self, attempt, error)
        if delay is not None:
            self.counts[type(error).__name__] += 1
        return delay


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of memory and time."""

    in_flight: int = 50
    """Orders being placed at the same time."""
    compared: int = 1_000
    """Ended orders that are kept, the latest, and read once more at the end."""
    read_interval_seconds: float = 0.5
    drain_seconds: float = 60.0
    """Time for orders to end after the last one was placed."""
    compare_seconds: float = 20.0


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of order, its share of all, and the statuses in which it may end."""

    items: Mapping[str, int]
    share: int
    endings: frozenset[str]


CASES = (
    Case({"blue": 3}, 4, TERMINAL),
    Case({"red": 2}, 3, TERMINAL),
    Case({"blue": 1, "red": 1}, 2, TERMINAL),
    Case({"blue": 2, "yellow": 1}, 1, FAILED),  # Yellow is sold out.
    Case({"gold": 1}, 1, FAILED),  # Its price exceeds the payment limit.
)


def only(itemid: str) -> Sequence[Case]:
    """Return the cases of a load of single units of one item."""
    return [Case({itemid: 1}, 1, TERMINAL)]


@dataclass(slots=True)
class AcceptedOrder:
    """An order whose checkout was answered."""

    items: frozenset[CartItem]
    endings: frozenset[str]


@dataclass(slots=True)
class Ledger:
    """The orders as their customers know them. Of bounded size: ended orders are counted."""

    accepted: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    """By status."""
    lost: int = 0
    """Orders that were accepted and do not exist."""
    skipped: int = 0
    """Orders that were due while too many others were in flight."""
    failed: Counter[str] = field(default_factory=Counter)
    """Orders that were not accepted, by the error; a checkout without an answer may have been executed."""
    retried: Counter[str] = field(default_factory=Counter)
    """Requests that failed and were sent again, by the error."""
    open: dict[str, AcceptedOrder] = field(default_factory=dict)
    recent: deque[tuple[str, AcceptedOrder]] = field(default_factory=deque)
    """The latest ended orders."""
    problems: list[str] = field(default_factory=list)

    def report(self, problem: str) -> None:
        """Record a broken promise; only the first are kept."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)

    def compare(self, orderid: str, accepted: AcceptedOrder, found: Order | None) -> None:
        """Compare an accepted order with the one that was read; None: it does not exist."""
        if found is None:
            self.lost += 1
            self.report(f"order {orderid} is lost")
        elif frozenset(found.cart_items) != accepted.items:
            self.report(f"order {orderid} has other items than its cart")
        elif found.is_final and found.status not in accepted.endings:
            self.report(f"order {orderid} is {found.status}, which it must not be")

    def __str__(self) -> str:
        ended = ", ".join(f"{status} {count}" for status, count in sorted(self.ended.items()))
        failed = ", ".join(f"{error} {count}" for error, count in sorted(self.failed.items()))
        retried = ", ".join(f"{error} {count}" for error, count in sorted(self.retried.items()))
        return (
            f"accepted {self.accepted}, ended {self.ended.total()}{f' ({ended})' if ended else ''}, "
            f"open {len(self.open)}, lost {self.lost}; "
            f"not accepted {self.failed.total()}{f' ({failed})' if failed else ''}, skipped {self.skipped}, "
            f"retried {self.retried.total()}{f' ({retried})' if retried else ''}"
        )


class Load:
    """Customers that order independently of each other, as in an open system."""

    def __init__(
        self,
        client: SagaClient,
        limits: Limits,
        cases: Sequence[Case] = CASES,
        retried: Counter[str] | None = None,
    ) -> None:
        """`retried` is that of the client's policy, if it counts."""
        self.client = client
        self.limits = limits
        self._cases = cases
        self._placing: set[asyncio.Task[None]] = set()
        self.ledger = Ledger(
            recent=deque(maxlen=limits.compared), retried=Counter() if retried is None else retried
        )

    async def place(self, rate: float) -> None:
        """Place `rate` orders a second, with exponential gaps, until cancelled."""
        while True:
            await asyncio.sleep(random.expovariate(rate))
            if len(self._placing) >= self.limits.in_flight or len(self.ledger.open) >= MAX_OPEN:
                self.ledger.skipped += 1
                continue
            (case,) = random.choices(self._cases, [each.share for each in self._cases])
            order = asyncio.create_task(self._place(case))
            self._placing.add(order)
            order.add_done_callback(self._placing.discard)

    async def follow(self) -> None:
        """Record when orders end, until cancelled."""
        while True:
            await self._read_open()
            await asyncio.sleep(self.limits.read_interval_seconds)

    async def drain(self) -> None:
        """Record when orders end; return once no order is being placed and all have ended."""
        while self._placing or self.ledger.open:
            await self._read_open()
            await asyncio.sleep(self.limits.read_interval_seconds)

    async def compare(self) -> int:
        """Read the latest ended orders once more and compare them; return how many could be read."""
        slots = asyncio.Semaphore(MAX_READS)

        async def compare(orderid: str, accepted: AcceptedOrder) -> bool:
            async with slots:
                was_read, order = await self._read(orderid)
            if was_read:
                self.ledger.compare(orderid, accepted, order)
            return was_read

        return sum(await asyncio.gather(*(compare(*each) for each in self.ledger.recent)))

    async def aclose(self) -> None:
        """Stop placing orders."""
        for order in self._placing:
            order.cancel()
        await asyncio.gather(*self._placing, return_exceptions=True)

    async def _place(self, case: Case) -> None:
        cartid, repeats = f"load-{uuid.uuid4()}", random.random() < REPEATS
        client = self.client
        try:
            await self._change(lambda key: client.create_cart(cartid, key=key), repeats)
            for itemid, count in case.items.items():
                await self._set_item(cartid, CartItem(itemid, count), repeats)
            await self._change(lambda key: client.close_cart(cartid, key=key), repeats)
            order = await self._change(lambda key: client.checkout(cartid, key=key), repeats)
        except SagaClientError as error:
            self.ledger.failed[type(error).__name__] += 1
            return
        items = frozenset(CartItem(*item) for item in case.items.items())
        accepted = self.ledger.open[order.orderid] = AcceptedOrder(items, case.endings)
        self.ledger.accepted += 1
        if random.random() < CANCELS:
            await self._cancel(order.orderid, accepted, repeats)

    async def _set_item(self, cartid: str, item: CartItem, repeats: bool) -> None:
        await self._change(
            lambda key: self.client.set_item(cartid, item.itemid, item.count, key=key), repeats
        )

    async def _cancel(self, orderid: str, accepted: AcceptedOrder, repeats: bool) -> None:
        try:
            await self._change(lambda key: self.client.cancel_order(orderid, key=key), repeats)
        except Conflict:
            pass  # It was final before.
        except SagaClientError as error:
            self.ledger.failed[f"cancellation {type(error).__name__}"] += 1
        else:
            accepted.endings = frozenset({CANCELED})

    async def _change(self, send: Callable[[str], Awaitable[T]], repeats: bool) -> T:
        """Send a change, perhaps twice with the same idempotency key; return the first answer."""
        key = str(uuid.uuid4())
        answer = await send(key)
        if repeats and (again := await send(key)) != answer:
            self.ledger.report(f"a repeated call was answered {again}, at first {answer}")
        return answer

    async def _read_open(self) -> None:
        ledger = self.ledger
        orderids = random.sample(list(ledger.open), min(len(ledger.open), MAX_READS))
        for orderid, (was_read, order) in zip(
            orderids, await asyncio.gather(*map(self._read, orderids)), strict=True
        ):
            if was_read and (order is None or order.is_final):
                accepted = ledger.open.pop(orderid)
                ledger.compare(orderid, accepted, order)
                if order is not None:
                    ledger.ended[order.status] += 1
                    ledger.recent.append((orderid, accepted))

    async def _read(self, orderid: str) -> tuple[bool, Order | None]:
        """Return whether the gateway answered, and the order; None if it does not exist."""
        try:
            return True, await self.client.get_order(orderid)
        except NotFound:
            return True, None
        except SagaClientError:
            return False, None
