"""The simulated database and broker: every kind of failure that `Tables` and `Bus` allow."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from sagakit.bus import Delivery, Message
from sagakit.errors import Contention, OutcomeUnknown, Unavailable
from sagakit.events import Event
from sagakit.outbox import outbox_kind
from sagakit.tables import DUE, Delete, Entity, Insert, Key, Mutation, Row
from sagakit.testing.broker import MemoryPull, Transport
from sagakit.testing.bus import MemoryBus
from sagakit.testing.edges import Edge, Edges
from sagakit.testing.expiry import Expiries
from sagakit.testing.tables import MemoryTables

if TYPE_CHECKING:
    from sagakit.testing.process import SimulatedProcess
    from sagakit.testing.world import World

MAX_DELAY_SECONDS = 60.0
LATE_SECONDS = 1.0
"""From when on a delay is part of the story."""


@dataclass(frozen=True)
class Commit:
    """The atomic write that a process has just made."""

    service: str
    mutations: Sequence[Mutation]
    before: Mapping[Key, Row]
    """The entities that it replaced or deleted."""
    process: str = ""
    """The replica, such as `stock 1`."""

    @cached_property
    def published(self) -> Sequence[Event]:
        """The events that were committed to the service's outbox."""
        kind = outbox_kind(self.service)
        return [
            Event(each.key.name, *(each.entity[name] for name in ("type", "body", "attributes")))
            for each in self.mutations
            if isinstance(each, Insert) and each.key.kind == kind
        ]


class IndexedTables(MemoryTables):
    """Tables with an index of the property `due`, which sweepers query all the time."""

    def __init__(self, expiries: Expiries) -> None:
        super().__init__()
        self.expiries = expiries
        self._due: dict[str, dict[str, str]] = {}

    def find_due(self, kind: str, start: str, end: str, limit: int) -> list[tuple[Key, Row]]:
        index = self._due.get(kind, {})
        found = sorted((due, name) for name, due in index.items() if start <= due < end)
        return [(Key(kind, name), self.rows[Key(kind, name)]) for _, name in found[:limit]]

    def kind(self, kind: str) -> dict[str, Entity]:
        """Return the entities of a kind by their names."""
        return {key.name: row.entity for key, row in self.rows.items() if key.kind == kind}

    def _put(self, key: Key, entity: Entity | None) -> None:
        super()._put(key, entity)
        self.expiries.put(key, entity)
        index = self._due.setdefault(key.kind, {})
        index.pop(key.name, None)
        if entity is not None and entity.get(DUE) is not None:
            index[key.name] = entity[DUE]


class FaultyTables:
    """One process's connection to the database."""

    def __init__(self, world: "World", process: "SimulatedProcess | None" = None) -> None:
        """`process`: None: an operator's, which does not die."""
        self.world = world
        self.process = process
        self._edges = Edges() if process is None else process.edges

    async def lookup(self, keys: Sequence[Key]) -> dict[Key, Row]:
        await self._call()
        return self.world.tables.find(keys)

    async def commit(self, mutations: Sequence[Mutation]) -> None:
        """Apply the mutations during the call; a process that dies before its end cannot know whether."""
        world, faults = self.world, self.world.faults
        await self._call()
        if world.fails("conflict"):
            raise Contention("injected conflict")
        if world.fails("unknown_lost"):
            self._tell("commit is lost with its request", mutations)
            raise OutcomeUnknown("the request was lost")
        before = world.tables.find(each.key for each in mutations)
        world.apply(mutations)
        self._tell("commits", mutations)
        if self.process is not None:
            world.committed(Commit(self.process.service, mutations, before, self.process.name))
        await self._maybe_die({mutation.key.kind for mutation in mutations})
        await asyncio.sleep(faults.latency(world.random))
        await self._response()
        if world.fails("unknown_applied"):
            self._tell("gets no response to its commit", mutations)
            raise OutcomeUnknown("the response was lost")

    async def due(self, kind: str, start: str, end: str, limit: int) -> list[tuple[Key, Row]]:
        await self._call()
        return self.world.tables.find_due(kind, start, end, limit)

    async def page(self, kind: str, after: str, limit: int) -> list[tuple[Key, Row]]:
        return self.world.tables.find_page(kind, after, limit)

    async def expire(self, now: float, limit: int) -> int:
        expiries = self.world.tables.expiries
        if not expiries.speedup:
            return 0
        await self._call()
        expired = expiries.past(now, limit)
        self.world.tables.apply([Delete(key) for key in expired])
        self.world.expired.update(expired)
        self.world.reached["fault expiry_speedup"] += len(expired)
        self.world.reached.update(f"expiry of {key.kind}" for key in expired)
        return len(expired)

    async def _call(self) -> None:
        await asyncio.sleep(self.world.faults.latency(self.world.random))
        await self._maybe_die(set())
        await self._edges.passed(Edge.STORE)
        if self.world.fails("unavailable"):
            raise Unavailable("the database is unavailable")

    async def _response(self) -> None:
        try:
            await self._edges.passed(Edge.STORE)
        except Unavailable as error:
            raise OutcomeUnknown(str(error)) from None

    async def _maybe_die(self, kinds: set[str]) -> None:
        """Let the process die here; `kinds`: of what it has committed."""
        faults, process = self.world.faults, self.process
        if process is None:
            return
        empties = bool(kinds) and faults.emptied_kind in {"", *kinds} and self.world.fails("emptied")
        if empties:
            self.world.delete_subscriptions(process.service)
        if empties or self.world.fails("crashed"):
            process.crash()
            await asyncio.sleep(0)  # Cancelled here.

    def _tell(self, what: str, mutations: Sequence[Mutation]) -> None:
        if self.world.story is not None:
            who = "operator" if self.process is None else self.process.name
            self.world.story.add(who, f"{what}: {', '.join(map(_described, mutations))}", repr(mutations))


class FaultyTransport(Transport):
    """A broker that delays, doubles and loses messages, and loses acknowledgements."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def delays(self, subscription: str, message: Message) -> Sequence[float]:
        world = self._world
        if subscription not in world.at_least_once and world.fails("dropped"):
            self._tell(f"loses on its way to {subscription}", message)
            return ()
        delays = [self._delay() for _ in range(1 + world.fails("duplicated"))]
        if len(delays) > 1 or max(delays) > LATE_SECONDS:
            waits = " and ".join(f"{delay:.1f} s" for delay in delays)
            self._tell(f"delivers to {subscription} after {waits}", message)
        return delays

    def _tell(self, what: str, message: Message) -> None:
        if self._world.story is not None:
            self._world.story.message("broker", what, message)

    def loses_ack(self) -> bool:
        return self._world.fails("ack_lost")

    def _delay(self) -> float:
        world = self._world
        if world.fails("delayed"):
            return world.random.uniform(0, MAX_DELAY_SECONDS)
        return world.faults.latency(world.random)


class FaultyBus(MemoryBus):
    """One process's connection to the broker."""

    def __init__(self, world: "World", name: str, edges: Edges | None = None) -> None:
        """`edges`: those of the process; None: of a client or operator, which are never clogged."""
        super().__init__(world.broker)
        self.world = world
        self.name = name
        self._edges = edges or Edges()

    @property
    def is_cut_off(self) -> bool:
        return self.frozen or self._edges.is_clogged(Edge.BROKER)

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        world = self.world
        await self._call()
        world.published(self.name, topic, messages)
        await asyncio.sleep(world.faults.latency(world.random))
        await self._edges.passed(Edge.BROKER)
        if world.fails("publish_unknown"):
            raise Unavailable("the broker's response was lost")

    def subscribe(self, name: str, receive: Callable[[Delivery], None], max_outstanding: int) -> MemoryPull:
        def received(delivery: Delivery) -> None:
            if self.world.story is not None:
                self.world.story.message(
                    self.name, f"receives (delivery {delivery.attempt})", delivery.message
                )
            receive(delivery)

        return super().subscribe(name, received, min(max_outstanding, self.world.simulation.max_outstanding))

    async def _call(self) -> None:
        await asyncio.sleep(self.world.faults.latency(self.world.random))
        await self._edges.passed(Edge.BROKER)
        if self.broker.unavailable or self.world.fails("unavailable"):
            raise Unavailable("the broker is unavailable")


def _described(mutation: Mutation) -> str:
    name = mutation.key.name
    return f"{type(mutation).__name__.lower()} {mutation.key.kind} {name if len(name) < 32 else name[:8]}"
