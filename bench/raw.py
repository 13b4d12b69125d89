"""What the emulators themselves allow: the calls of an order, made by bare clients with no logic of ours."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, NamedTuple, TypeVar

from bench.bare import Bare, bare
from sagakit.tables import MAX_MUTATIONS, Key

T = TypeVar("T")

PREPARED = 3
"""A cart, an item and a shard of it, of each order: nothing here ever waits for a neighbour."""


class Step(NamedTuple):
    """What a step of a red order does; entities by their places among those that the order has by then."""

    says: str
    reads: list[int]
    updates: list[int]
    inserts: int
    subscribers: int = 0
    """… of what it says; the gateway's stream is one of them."""


CART, ITEM, SHARD, TICKET, RESERVATION = 0, 1, 2, 3, 5
TO_APPROVED = (
    # the ticket and the row of what is said
    Step("checked-out", [CART], [CART], 2, 4),
    # the reservation, the inbox, what is said
    Step("reserved", [ITEM, SHARD], [SHARD], 3, 3),
    Step("approved", [TICKET], [TICKET], 2, 4),
)
SETTLED = (
    *TO_APPROVED,
    # stock: the reservation is sold
    Step("", [RESERVATION, SHARD], [RESERVATION, SHARD], 1),
    # delivery; what it looks for is not there
    Step("arranged", [-1], [], 3, 2),
    # purchase notes it
    Step("", [TICKET], [TICKET], 1),
)
"""… and what there is to do about an approved order."""
LINGER_SECONDS = 0.05
MAX_BATCH = 200
RATE_SECONDS = 180.0


async def raw_chain(environ: Mapping[str, str], rounds: int, hops: int) -> list[float]:
    """Milliseconds from the first publish to the last commit, one round at a time.

    Each hop: received by streaming pull, one lookup, one commit, published on.
    """
    async with bare(environ) as clients:
        topics = [f"hop-{number}" for number in range(hops)]
        for topic in topics:
            await clients.make(topic, subscribers=1)
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            for topic in topics:
                await clients.publish(topic)
                await clients.arrivals[topic][0].get()
                await clients.step([clients.key()], [], inserts=3)
            times.append((time.perf_counter() - began) * 1000)
        return times


async def raw_rate(environ: Mapping[str, str], clients: int, orders: int, steps: tuple[Step, ...]) -> float:
    """Red orders a second: their lookups, commits, publishes, deletes, deliveries and acknowledgements."""
    async with bare(environ) as wire:
        said = {step.says: Batches(_publishing(wire, step.says), MAX_BATCH) for step in steps if step.says}
        for step in steps:
            if step.says:
                await wire.make(step.says, step.subscribers)
        deleted = Batches(wire.delete, MAX_MUTATIONS, LINGER_SECONDS)
        carts = [await wire.made(PREPARED) for _ in range(orders)]

        async def worker() -> None:
            while carts:
                await _order(wire, carts.pop(), steps, said, deleted)

        async with asyncio.timeout(RATE_SECONDS):
            began = time.perf_counter()
            await asyncio.gather(*(worker() for _ in range(clients)))
            for batches in (*said.values(), deleted):
                await batches.done()
            for queue in itertools.chain(*wire.arrivals.values()):
                for _ in range(orders):
                    await queue.get()
            return orders / (time.perf_counter() - began)


async def _order(
    wire: Bare,
    entities: list[Key],
    steps: tuple[Step, ...],
    said: "Mapping[str, Batches[None]]",
    deleted: "Batches[Key]",
) -> None:
    for step in steps:
        reads = [entities[place] if place >= 0 else wire.key() for place in step.reads]
        new = await wire.step(reads, [entities[place] for place in step.updates], step.inserts)
        entities += new
        if step.says:
            said[step.says].add(None)
            deleted.add(new[-1])


def _publishing(wire: Bare, topic: str) -> "Callable[[list[None]], Awaitable[None]]":
    async def publish(messages: list[None]) -> None:
        await wire.publish(topic, len(messages))

    return publish


class Batches(Generic[T]):
    """Does what is asked for in batches of what gathered while the last one was under way."""

    def __init__(
        self, do: Callable[[list[T]], Awaitable[None]], most: int, linger_seconds: float = 0
    ) -> None:
        self._do = do
        self._most = most
        self._linger_seconds = linger_seconds
        self._waiting: list[T] = []
        self._doing: asyncio.Task[None] | None = None

    def add(self, one: T) -> None:
        self._waiting.append(one)
        if self._doing is None or self._doing.done():
            self._doing = asyncio.create_task(self._all())

    async def done(self) -> None:
        if self._doing is not None:
            await self._doing

    async def _all(self) -> None:
        while self._waiting:
            if len(self._waiting) < self._most:
                await asyncio.sleep(self._linger_seconds)
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            await self._do(batch)
