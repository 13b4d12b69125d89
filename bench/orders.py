"""Orders through a gateway, one at a time or by concurrent clients, and their durations."""

import asyncio
import itertools
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

from bench.http import Connection
from contract.tickets import APPROVED
from contract.topology import TOPOLOGY
from sagakit.backends import open_broker
from sagakit.bus import Delivery, SubscriptionSpec
from sagakit.runtime import Runtime
from sagakit.settings import BackendSettings

SAGA_SECONDS = 120.0
MAX_OUTSTANDING = 1_000
NextItem = Callable[[], str]


def always(itemid: str) -> NextItem:
    return lambda: itemid


def round_robin(itemids: list[str]) -> NextItem:
    following: Iterator[str] = itertools.cycle(itemids)
    return lambda: next(following)


class Endings:
    """Times at which orders were approved, received from purchase's topic."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._times: dict[str, asyncio.Future[float]] = {}

    async def of(self, orderid: str) -> float:
        """Return the time of the approval, by `time.perf_counter`. Raises TimeoutError if none comes."""
        async with asyncio.timeout(SAGA_SECONDS):
            return await self._time(orderid)

    def receive(self, delivery: Delivery) -> None:
        ticket = json.loads(delivery.message.data)
        if ticket["status"] == APPROVED:
            approved_at = self._time(ticket["orderid"])
            if not approved_at.done():
                approved_at.set_result(time.perf_counter())
        delivery.ack()

    def _time(self, orderid: str) -> "asyncio.Future[float]":
        return self._times.setdefault(orderid, self._loop.create_future())


@asynccontextmanager
async def subscribed(environ: Mapping[str, str]) -> AsyncIterator[Endings]:
    """Subscribe to approvals in the suite on that backend."""
    settings = BackendSettings.from_environ(environ)
    async with open_broker(settings, Runtime()) as messages:
        name = f"bench.{uuid.uuid4().hex[:8]}"
        await messages.provisioner.ensure_subscription(
            SubscriptionSpec(name, TOPOLOGY.topics["purchase"], None)
        )
        endings = Endings()
        pull = messages.bus.subscribe(name, endings.receive, MAX_OUTSTANDING)
        try:
            yield endings
        finally:
            await pull.close()
            await messages.provisioner.remove_subscription(name)


@dataclass(slots=True)
class Times:
    """Durations per order, in milliseconds."""

    checkouts: list[float] = field(default_factory=list)
    sagas: list[float] = field(default_factory=list)
    """From checkout to approved: by polling the ticket if idle, by the published event under load."""


async def closed_cart(connection: Connection, itemid: str) -> str:
    """Create and close a cart with one unit in it."""
    cartid = str(uuid.uuid4())
    await connection.call("/purchase/api/create_cart", cartid=cartid)
    await connection.call("/purchase/api/add_item", cartid=cartid, itemid=itemid, count=1)
    await connection.call("/purchase/api/close_cart", cartid=cartid)
    return cartid


async def one_at_a_time(gateway: str, itemid: str, orders: int) -> Times:
    """Place each order after the previous one is approved; poll its ticket every 2 ms."""
    times, connection = Times(), Connection(gateway)
    for _ in range(orders):
        cartid = await closed_cart(connection, itemid)
        started = time.perf_counter()
        ticket = (await connection.call("/purchase/api/checkout", cartid=cartid))["order_ticket"]
        times.checkouts.append((time.perf_counter() - started) * 1000)
        await _approved(connection, ticket["orderid"])
        times.sagas.append((time.perf_counter() - started) * 1000)
    connection.close()
    return times


async def _approved(connection: Connection, orderid: str) -> None:
    async with asyncio.timeout(SAGA_SECONDS):
        while True:
            answer = await connection.call("/purchase/api/get_order_ticket", orderid=orderid)
            if answer["order_ticket"]["status"] == APPROVED:
                return
            await asyncio.sleep(0.002)


class Clients:
    """Concurrent clients, each with a connection and one order at a time."""

    def __init__(self, gateway: str, endings: Endings, clients: int) -> None:
        self._endings = endings
        self._connections = [Connection(gateway) for _ in range(clients)]

    async def prepare(self, orders: int, item: NextItem) -> list[str]:
        """Return `orders` closed carts."""
        carts: list[str] = []

        async def fill(connection: Connection) -> None:
            while len(carts) + len(self._connections) <= orders or len(carts) < orders:
                carts.append(await closed_cart(connection, item()))

        await asyncio.gather(*(fill(connection) for connection in self._connections))
        return carts[:orders]

    async def check_out(self, carts: list[str]) -> tuple[float, Times]:
        """Check out the carts; return approved orders per second, and their durations."""
        times, left = Times(), list(carts)

        async def shop(connection: Connection) -> None:
            while left:
                await self._order(connection, left.pop(), times)

        return await self._rate(shop, times)

    async def shop(self, orders: int, item: NextItem) -> tuple[float, Times]:
        """Do the same from the creation of the carts."""
        times, numbers = Times(), iter(range(orders))

        async def shop(connection: Connection) -> None:
            for _ in numbers:
                await self._order(connection, await closed_cart(connection, item()), times)

        return await self._rate(shop, times)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._connections:
            connection.close()

    async def _order(self, connection: Connection, cartid: str, times: Times) -> None:
        started_at = time.perf_counter()
        answer = await connection.call("/purchase/api/checkout", cartid=cartid)
        times.checkouts.append((time.perf_counter() - started_at) * 1000)
        ended = await self._endings.of(answer["order_ticket"]["orderid"])
        times.sagas.append((ended - started_at) * 1000)

    async def _rate(self, shop: Callable[[Connection], object], times: Times) -> tuple[float, Times]:
        started_at = time.perf_counter()
        await asyncio.gather(*(shop(connection) for connection in self._connections))  # type: ignore[call-overload]
        return len(times.sagas) / (time.perf_counter() - started_at), times
