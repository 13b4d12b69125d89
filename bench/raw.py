"""The raw rate of the emulators: the calls of an order, made by bare clients without the suite's logic."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, NamedTuple, TypeVar

from bench.bare import Bare, bare
from sagakit.tables import MAX_MUTATIONS, Key

T = TypeVar("T")

PREPARED = 3
"""A cart, an item and a shard for each order, so that orders never conflict."""


class Step(NamedTuple):
    """A transaction of a red order. Entities are numbered in the order of their creation."""

    publishes: str
    reads: list[int]
    updates: list[int]
    inserts: int
    subscribers: int = 0
    """Subscribers of the published event, including the gateway's ephemeral subscription."""


CART, ITEM, SHARD, TICKET, RESERVATION = 0, 1, 2, 3, 5
TO_APPROVED = (
    # the ticket and the outbox row
    Step("checked-out", [CART], [CART], 2, 4),
    # the reservation, the inbox row, the outbox row
    Step("reserved", [ITEM, SHARD], [SHARD], 3, 3),
    Step("approved", [TICKET], [TICKET], 2, 4),
)
SETTLED = (
    *TO_APPROVED,
    # stock: the reservation is sold
    Step("", [RESERVATION, SHARD], [RESERVATION, SHARD], 1),
    # delivery: its lookup finds nothing
    Step("arranged", [-1], [], 3, 2),
    # purchase records it
    Step("", [TICKET], [TICKET], 1),
)
"""The transactions up to the approval, and those after it."""
LINGER_SECONDS = 0.05
MAX_BATCH = 200
RATE_SECONDS = 180.0


async def raw_chain(environ: Mapping[str, str], rounds: int, hops: int) -> list[float]:
    """Return the milliseconds from the first publish to the last commit of each round.

    Each hop is a receive by streaming pull, a lookup, a commit and a publish.
    """
    async with bare(environ) as clients:
        topics = [f"hop-{number}" for number in range(hops)]
        for topic in topics:
            await clients.create_topic(topic, subscribers=1)
        times = []
        for _ in range(rounds):
            started_at = time.perf_counter()
            for topic in topics:
                await clients.publish(topic)
                await clients.arrivals[topic][0].get()
                await clients.transact([clients.key()], [], inserts=3)
            times.append((time.perf_counter() - started_at) * 1000)
        return times


async def raw_rate(environ: Mapping[str, str], clients: int, orders: int, steps: tuple[Step, ...]) -> float:
    """Return red orders per second, counting all their calls, deliveries and acknowledgements."""
    async with bare(environ) as wire:
        published = {
            step.publishes: Batches(_publishing(wire, step.publishes), MAX_BATCH)
            for step in steps
            if step.publishes
        }
        for step in steps:
            if step.publishes:
                await wire.create_topic(step.publishes, step.subscribers)
        deleted = Batches(wire.delete, MAX_MUTATIONS, LINGER_SECONDS)
        carts = [await wire.create(PREPARED) for _ in range(orders)]

        async def worker() -> None:
            while carts:
                await _order(wire, carts.pop(), steps, published, deleted)

        async with asyncio.timeout(RATE_SECONDS):
            started_at = time.perf_counter()
            await asyncio.gather(*(worker() for _ in range(clients)))
            for batches in (*published.values(), deleted):
                await batches.done()
            for queue in itertools.chain(*wire.arrivals.values()):
                for _ in range(orders):
                    await queue.get()
            return orders / (time.perf_counter() - started_at)


async def _order(
    wire: Bare,
    entities: list[Key],
    steps: tuple[Step, ...],
    published: "Mapping[str, Batches[None]]",
    deleted: "Batches[Key]",
) -> None:
    for step in steps:
        reads = [entities[place] if place >= 0 else wire.key() for place in step.reads]
        new = await wire.transact(reads, [entities[place] for place in step.updates], step.inserts)
        entities += new
        if step.publishes:
            published[step.publishes].add(None)
            deleted.add(new[-1])


def _publishing(wire: Bare, topic: str) -> "Callable[[list[None]], Awaitable[None]]":
    async def publish(messages: list[None]) -> None:
        await wire.publish(topic, len(messages))

    return publish


class Batches(Generic[T]):
    """Runs an operation on batches of the entries added while the previous batch was in progress."""

    def __init__(
        self, do: Callable[[list[T]], Awaitable[None]], max_size: int, linger_seconds: float = 0
    ) -> None:
        self._do = do
        self._max_size = max_size
        self._linger_seconds = linger_seconds
        self._waiting: list[T] = []
        self._running: asyncio.Task[None] | None = None

    def add(self, one: T) -> None:
        self._waiting.append(one)
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._all())

    async def done(self) -> None:
        if self._running is not None:
            await self._running

    async def _all(self) -> None:
        while self._waiting:
            if len(self._waiting) < self._max_size:
                await asyncio.sleep(self._linger_seconds)
            batch, self._waiting = self._waiting[: self._max_size], self._waiting[self._max_size :]
            await self._do(batch)
