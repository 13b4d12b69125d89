"""The parts of a service's messaging over tables in memory, and a bus and a clock that tests control."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sagakit.bus import Message
from sagakit.consumer import Consumer, Outcome
from sagakit.due import encode_due, shard_of
from sagakit.errors import Unavailable
from sagakit.events import Event
from sagakit.ignored import Ignored
from sagakit.observer import Observer
from sagakit.outbox import Outbox
from sagakit.relay import Relay
from sagakit.reminders import Reminders, ReminderSchedule, RemindFn, due_property
from sagakit.store import Changes, Store
from sagakit.sweeper import PAGE, Claim, Sweeper
from sagakit.tables import DUE, Entity, Insert, Key, Row, Update
from sagakit.testing.clock import Clock, settled
from sagakit.testing.tables import CountedTables, MemoryTables
from tests.support.counter import OUTBOX, TOPIC, an_event
from tests.support.manual_bus import ManualBus, ManualDelivery, ManualPull


@asynccontextmanager
async def background(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run `work` during the block, then cancel it."""
    task = asyncio.create_task(work)
    await settled()
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


SHARD = 3
"""Of an index of rows by when they are due."""


def in_shard(prefix: str, count: int) -> list[str]:
    """Return names of rows in SHARD."""
    names = (f"{prefix}{number}" for number in itertools.count())
    return list(itertools.islice((name for name in names if shard_of(name) == SHARD), count))


@dataclass
class Harness:
    """One process: a store with its outbox and relay. Others share its clock, bus and memory."""

    clock: Clock = field(default_factory=Clock)
    bus: ManualBus = field(default_factory=ManualBus)
    memory: MemoryTables = field(default_factory=MemoryTables)
    observer: Observer = field(default_factory=Observer)
    seed: int = 1

    def __post_init__(self) -> None:
        self.runtime = self.clock.runtime(self.seed, self.observer)
        self.tables = CountedTables(self.memory)
        self.outbox = Outbox(OUTBOX, self.runtime)
        self.relay = Relay(self.tables, self.bus, TOPIC, self.outbox, self.runtime)
        self.store = Store(self.tables, self.outbox, self.relay, self.runtime)

    def a_sweeper(
        self, kind: str, claim: Claim, capacity: Callable[[], int] = lambda: PAGE, **options: Any
    ) -> Sweeper:
        return Sweeper(self.tables, kind, claim, self.runtime, capacity=capacity, **options)

    def outbox_sweeper(self) -> Sweeper:
        return self.a_sweeper(OUTBOX, self.relay.take_over, lambda: self.relay.capacity)

    async def put(self, kind: str, name: str, entity: Entity, seconds: float = 0) -> None:
        """Store an entity, whatever it is, that is due in `seconds`."""
        due = {DUE: encode_due(name, self.clock.now() + seconds)}
        await self.memory.commit([Insert(Key(kind, name), {**entity, **due})])

    async def commit(self, *events: Event) -> None:
        """Commit events, as a process that crashes before it publishes them."""
        for start in range(0, len(events), 25):
            await self.memory.commit(self.outbox.inserts(events[start : start + 25]))

    async def commit_and_enqueue(self, *events: Event) -> None:
        await self.commit(*events)
        self.relay.enqueue(events)

    @property
    def in_outbox(self) -> dict[str, Row]:
        """The rows of the outbox, by eventid."""
        return {key.name: row for key, row in self.memory.rows.items() if key.kind == OUTBOX}


WAITING = "Waiting"
SCHEDULE = ReminderSchedule(15)


def remind(name: str, entity: Entity, now: float, eventid: str) -> Changes[str | None]:
    """Republish the last event of an entity, which counts its reminders."""
    reminders = entity["reminders"] + 1
    later = {**entity, "reminders": reminders, **due_property(name, SCHEDULE.next_at(now, reminders))}
    return Changes(
        entity.get("awaits", "another"), {Key(WAITING, name): later}, [an_event(eventid, again="true")]
    )


@dataclass
class RemindersHarness(Harness):
    """A process that sends reminders of entities of one kind."""

    is_saturated: bool = False
    remind: RemindFn = remind

    def __post_init__(self) -> None:
        super().__post_init__()
        self.reminders = Reminders(self.store, self.remind, self.runtime, lambda: self.is_saturated)
        self.sweeper = self.a_sweeper(WAITING, self.reminders.claim, self.reminders.capacity)

    async def waits(self, *names: str, seconds: float = 15, **properties: Any) -> None:
        """Store entities that wait for a reply, and are due in `seconds`."""
        for name in names:
            due = due_property(name, self.clock.now() + seconds)
            await self.memory.commit([Insert(Key(WAITING, name), {"reminders": 0, **properties, **due})])

    def row(self, name: str) -> Row:
        return self.memory.rows[Key(WAITING, name)]

    async def settle(self, name: str) -> None:
        """Store that the reply has arrived."""
        row = self.row(name)
        entity = {each: value for each, value in row.entity.items() if each != DUE}
        await self.memory.commit([Update(Key(WAITING, name), entity, row.version)])

    async def settle_reminded(self, names: Iterable[str]) -> None:
        """Store that the replies to all reminders have arrived."""
        for name in names:
            if DUE in self.row(name).entity and self.sent(name):
                await self.settle(name)

    def sent(self, *names: str) -> int:
        """How many reminders the entities count, together."""
        return sum(self.row(name).entity["reminders"] for name in names)

    async def sweep_after(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        await self.sweeper.sweep()

    @property
    def events(self) -> list[Entity]:
        return [row.entity for row in self.in_outbox.values()]


SUBSCRIPTION = "one-service.things"
OTHER_SUBSCRIPTION = "one-service.others"
DEAD_LETTERS = "dead-letter"


def a_message(type: str = "thing", **attributes: str) -> Message:
    return Message(b"body", {"eventid": "e1", "type": type, **attributes})


def raises(error: BaseException) -> Callable[[Event], Any]:
    def handle(_: Event) -> Outcome:
        raise error

    return handle


async def until(event: asyncio.Event) -> Outcome:
    """Handle an event as soon as `event` is set."""
    await event.wait()
    return Outcome.APPLIED


@dataclass
class ConsumerHarness:
    """A consumer of two subscriptions."""

    handle: Callable[[Event], Any] = lambda _: Outcome.APPLIED
    """Handles events of the type `thing`: returns the outcome, or a coroutine that does."""
    clock: Clock = field(default_factory=Clock)
    bus: ManualBus = field(default_factory=ManualBus)
    observer: Observer = field(default_factory=Observer)
    store_unavailable: bool = False
    ignores: Mapping[str, Ignored] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.handled: list[Event] = []
        self.backend_checks = 0
        self.consumer = Consumer(
            self.bus,
            {SUBSCRIPTION: "things", OTHER_SUBSCRIPTION: "others"},
            {"thing": self._handle},
            DEAD_LETTERS,
            self._check_backends,
            self.clock.runtime(observer=self.observer),
            self.ignores,
        )

    async def _handle(self, event: Event) -> Outcome:
        self.handled.append(event)
        outcome = self.handle(event)
        return await outcome if asyncio.iscoroutine(outcome) else outcome

    async def _check_backends(self) -> None:
        self.backend_checks += 1
        if self.store_unavailable:
            raise Unavailable("the store is unavailable")

    def pulls(self, name: str = SUBSCRIPTION) -> list[ManualPull]:
        return self.bus.pulls.get(name, [])

    @property
    def pull(self) -> ManualPull:
        return self.pulls()[-1]

    async def deliver(self, message: Message, attempt: int = 1) -> ManualDelivery:
        """Deliver a message, and return when it is settled or its handler waits."""
        delivery = self.pull.deliver(message, attempt)
        await settled()
        return delivery

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.consumer.run())
        await settled()
        try:
            yield task
        finally:
            self.consumer.stop()
            await asyncio.wait_for(task, 5)
