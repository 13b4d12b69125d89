"""What has waited for too long: counted by kind, status and age, from what the watch sees anyway."""

from sagakit.outbox import Outbox
from sagakit.relay import Relay
from sagakit.reminders import Reminders, ReminderSchedule, due_property
from sagakit.store import Changes, Store
from sagakit.sweeper import Sweeper
from sagakit.tables import Insert, Key
from sagakit.telemetry.instruments import NO_METRICS
from sagakit.telemetry.overdue import SLACK_SECONDS
from tests.support.clock import START, Clock
from tests.support.manual_bus import ManualBus
from tests.support.steps import OUTBOX, TOPIC, an_event
from tests.support.tables import CountedTables, MemoryTables

KIND = "OrderTicket"
REMINDERS = ReminderSchedule(15)


class Bench:
    """A watch over entities of one kind, with what it counts."""

    def __init__(self) -> None:
        self.clock, self.memory, self.is_saturated = Clock(), MemoryTables(), False
        recorder = self.clock.recorder(NO_METRICS)
        self.overdue = recorder.overdue
        self.overdue.waiting_since[KIND] = lambda entity: entity["opened"]
        self.tables = CountedTables(self.memory)
        runtime = self.clock.runtime(observer=recorder)
        outbox = Outbox(OUTBOX, runtime)
        relay = Relay(self.tables, ManualBus(), TOPIC, outbox, runtime)
        self.store = Store(self.tables, outbox, relay, runtime)
        watch = Reminders(self.store, self.remind, runtime, lambda: self.is_saturated)
        self.sweeper = Sweeper(self.tables, KIND, watch.claim, runtime, capacity=watch.capacity)

    def remind(self, name, entity, now, eventid) -> Changes[bool]:
        repeats = entity["repeats"] + 1
        later = {**entity, "repeats": repeats, **due_property(name, REMINDERS.next_at(now, repeats))}
        return Changes(True, {Key(KIND, name): later}, [an_event(eventid)])

    async def waits(self, name: str, status: str = "pre-approved", opened: float = START) -> None:
        entity = {"status": status, "opened": opened, "repeats": 0, **due_property(name, opened + 15)}
        await self.memory.commit([Insert(Key(KIND, name), entity)])

    async def after(self, seconds: float) -> dict[tuple[str, str], float]:
        await self.clock.advance(seconds)
        await self.sweeper.sweep()
        return self.counted()

    def counted(self) -> dict[tuple[str, str], float]:
        found = self.overdue.counts()
        assert all(labels["kind"] == KIND for _, labels in found)
        return {(labels["status"], labels["age"]): count for count, labels in found}

    @property
    def oldest(self) -> dict[str, float]:
        return {labels["status"]: age for age, labels in self.overdue.oldest_ages()}


async def test_what_is_not_overdue_is_not_counted():
    bench = Bench()
    await bench.waits("a")

    assert await bench.after(14) == {}


async def test_what_waits_is_counted_by_status_and_by_how_long_it_has_waited():
    bench = Bench()
    await bench.waits("a")
    await bench.waits("b")
    await bench.waits("old", "approved", opened=START - 1000)

    first = await bench.after(20)
    later = await bench.after(100)

    assert first == {("pre-approved", "under 1m"): 2, ("approved", "5m to 30m"): 1}
    assert later == {("pre-approved", "1m to 5m"): 2, ("approved", "5m to 30m"): 1}
    assert bench.oldest == {"pre-approved": 120, "approved": 1120}


async def test_what_this_process_writes_is_counted_no_more():
    bench = Bench()
    await bench.waits("a")
    await bench.after(20)
    key = Key(KIND, "a")

    await bench.store.transact([key], lambda _: Changes(None, {key: {"status": "approved"}}))

    assert bench.counted() == {}


async def test_what_another_process_has_answered_is_counted_until_it_would_be_due_again():
    bench = Bench()
    await bench.waits("a")
    await bench.after(20)
    del bench.memory.rows[Key(KIND, "a")]

    before = await bench.after(30 + SLACK_SECONDS - 1)
    afterwards = await bench.after(2)

    assert sum(before.values()) == 1
    assert afterwards == {}


async def test_while_the_watch_does_not_look_nothing_is_forgotten():
    bench = Bench()
    await bench.waits("a")
    await bench.after(20)
    bench.is_saturated = True

    blind = await bench.after(1000)
    bench.is_saturated = False
    seeing = await bench.after(1)

    assert blind == {("pre-approved", "5m to 30m"): 1}
    assert seeing == blind


async def test_counting_asks_the_store_nothing():
    bench = Bench()
    await bench.waits("a")
    await bench.after(20)
    asked = dict(bench.tables.calls)

    assert bench.counted()
    assert bench.oldest

    assert dict(bench.tables.calls) == asked
