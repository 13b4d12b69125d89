"""The watch: whoever waits repeats its last word, not too often, and not into a backlog."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from sagakit.outbox import Outbox
from sagakit.relay import Relay
from sagakit.reminders import (
    MAX_UNANSWERED,
    REMINDER_BURST,
    Reminders,
    ReminderSchedule,
    RemindFn,
    due_property,
)
from sagakit.runtime import Runtime
from sagakit.store import Changes, Store
from sagakit.sweeper import Sweeper
from sagakit.tables import DUE, Delete, Entity, Insert, Key, Mutation, Tables, Update
from tests.support.clock import START, Clock
from tests.support.manual_bus import ManualBus
from tests.support.steps import OUTBOX, TOPIC, an_event
from tests.support.tables import ConflictingTables, MemoryTables

KIND = "Waiting"
REMINDERS = ReminderSchedule(15)


def remind(name: str, entity: Entity, now: float, eventid: str) -> Changes[bool]:
    repeats = entity["repeats"] + 1
    later = {"repeats": repeats, **due_property(name, REMINDERS.next_at(now, repeats))}
    return Changes(True, {Key(KIND, name): later}, [an_event(eventid, again="true")])


@dataclass
class Bench:
    clock: Clock = field(default_factory=Clock)
    tables: MemoryTables = field(default_factory=MemoryTables)
    bus: ManualBus = field(default_factory=ManualBus)
    is_saturated: bool = False

    def __post_init__(self) -> None:
        self.runtime = self.clock.runtime()
        self.watch, self.sweeper = self.a_watch(self.runtime)

    def a_watch(
        self, runtime: Runtime, tables: Tables | None = None, remind: RemindFn = remind
    ) -> tuple[Reminders, Sweeper]:
        """As each process has one of its own."""
        outbox = Outbox(OUTBOX, runtime)
        self.relay = Relay(tables or self.tables, self.bus, TOPIC, outbox, runtime)
        store = Store(tables or self.tables, outbox, self.relay, runtime)
        watch = Reminders(store, remind, runtime, lambda: self.is_saturated)
        return watch, Sweeper(self.tables, KIND, watch.claim, runtime, capacity=watch.capacity)

    async def waits(self, *names: str, seconds: float = 15) -> None:
        for name in names:
            entity = {"repeats": 0, **due_property(name, self.clock.now() + seconds)}
            await self.tables.commit([Insert(Key(KIND, name), entity)])

    async def change(self, name: str, entity: Entity) -> None:
        key = Key(KIND, name)
        await self.tables.commit([Update(key, entity, self.tables.rows[key].version)])

    def repeats(self, name: str = "a") -> int:
        return self.tables.rows[Key(KIND, name)].entity["repeats"]

    async def answered(self, names: Iterable[str]) -> None:
        """Those whose word was repeated have an answer."""
        for name in names:
            if DUE in self.tables.rows[Key(KIND, name)].entity and self.repeats(name):
                await self.change(name, {"repeats": self.repeats(name)})

    async def pass_and_sweep(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        await self.sweeper.sweep()


@pytest.fixture
async def bench() -> Bench:
    return Bench()


def said(tables: MemoryTables) -> list[Entity]:
    return [row.entity for key, row in tables.rows.items() if key.kind == OUTBOX]


async def test_who_waits_repeats_its_last_word_after_a_while_and_says_that_it_is_said_again(bench: Bench):
    await bench.waits("a")

    await bench.pass_and_sweep(14.9)
    too_early = bench.repeats()
    await bench.pass_and_sweep(0.2)

    assert (too_early, bench.repeats()) == (0, 1)
    (event,) = said(bench.tables)
    assert event["attributes"] == {"again": "true"}


async def test_the_pauses_double_up_to_ten_minutes(bench: Bench):
    await bench.waits("a")
    moments, before = [], 0

    for second in range(3_000):
        await bench.pass_and_sweep(1)
        if bench.repeats() > before:
            moments.append(second + 1)
            before = bench.repeats()

    pauses = [after - before for before, after in zip(moments, moments[1:], strict=False)]
    assert moments[0] in (15, 16)
    wanted = [30, 60, 120, 240, 480, 600]
    assert all(abs(pause - each) <= 2 for pause, each in zip(pauses, wanted, strict=False)), pauses
    assert len(pauses) >= len(wanted)


async def test_what_is_settled_is_never_looked_at_again(bench: Bench):
    await bench.waits("a")
    await bench.change("a", {"repeats": 0})

    await bench.pass_and_sweep(10_000)

    assert bench.repeats() == 0
    assert await bench.tables.due(KIND, "", "zz", 10) == []


async def test_two_processes_that_look_at_once_repeat_it_once(bench: Bench):
    await bench.waits("a")
    other, _ = bench.a_watch(bench.clock.runtime(2))
    await bench.clock.advance(20)
    key = Key(KIND, "a")
    row = bench.tables.rows[key]

    claims = asyncio.gather(bench.watch.claim(key, row), other.claim(key, row))
    await bench.clock.advance(1)
    await claims

    assert bench.repeats() == 1
    assert len(said(bench.tables)) == 1


async def test_who_got_an_answer_in_the_meantime_says_nothing(bench: Bench):
    await bench.waits("a")
    await bench.clock.advance(20)
    row = bench.tables.rows[Key(KIND, "a")]
    await bench.change("a", {"repeats": 0})

    await bench.watch.claim(Key(KIND, "a"), row)

    assert (bench.repeats(), said(bench.tables)) == (0, [])


async def test_a_race_that_is_lost_too_often_leaves_it_to_the_next_visit(bench: Bench):
    await bench.waits("a")
    key = Key(KIND, "a")

    def rival() -> Iterable[Mutation]:
        row = bench.tables.rows[key]
        return [Update(key, dict(row.entity), row.version)]

    impatient = Runtime(bench.clock.now, sleep=lambda _: asyncio.sleep(0))
    watch, _ = bench.a_watch(impatient, ConflictingTables(bench.tables, *[rival] * 100))
    await bench.clock.advance(20)

    await watch.claim(key, bench.tables.rows[key])

    assert said(bench.tables) == []
    await bench.sweeper.sweep()
    assert bench.repeats() == 1


async def test_nothing_is_repeated_while_the_service_lags_behind(bench: Bench):
    await bench.waits("a")
    bench.is_saturated = True
    await bench.pass_and_sweep(1_000)
    while_lagging = bench.repeats()

    bench.is_saturated = False
    await bench.pass_and_sweep(1)

    assert (while_lagging, bench.repeats()) == (0, 1)


async def test_repeats_are_limited_per_second(bench: Bench):
    """However quickly they are answered."""
    names = [str(number) for number in range(400)]
    await bench.waits(*names, seconds=0)
    repeated = []

    for seconds in (0.001, 1, 2):
        await bench.pass_and_sweep(seconds)
        repeated.append(sum(bench.repeats(name) for name in names))
        await bench.answered(names)

    assert repeated == [100, 150, 250]


async def test_where_nobody_answers_only_so_many_words_are_on_their_way(bench: Bench):
    """They would wait in somebody's backlog, and be its greater part."""
    names = [str(number) for number in range(400)]
    await bench.waits(*names, seconds=0)

    for _ in range(14):
        await bench.pass_and_sweep(1)

    assert len(said(bench.tables)) == MAX_UNANSWERED
    assert {bench.repeats(name) for name in names} == {1}, "the rest waits for its next turn"


async def test_as_soon_as_there_are_answers_more_is_said(bench: Bench):
    names = [str(number) for number in range(300)]
    await bench.waits(*names, seconds=0)
    await bench.pass_and_sweep(1)

    await bench.answered(names)
    await bench.pass_and_sweep(60)

    left = len(names) - MAX_UNANSWERED
    assert len(said(bench.tables)) == MAX_UNANSWERED + min(left, MAX_UNANSWERED)


async def test_words_that_nobody_answers_are_said_again_in_their_turn_and_no_others(bench: Bench):
    """They may be lost, rather than in a backlog."""
    names = [str(number) for number in range(150)]
    await bench.waits(*names, seconds=0)
    await bench.pass_and_sweep(1)
    await bench.pass_and_sweep(1)
    at_first = len(said(bench.tables))

    await bench.pass_and_sweep(31)
    await bench.pass_and_sweep(2)

    assert {bench.repeats(name) for name in names} == {2}
    assert (at_first, len(said(bench.tables))) == (MAX_UNANSWERED, 2 * MAX_UNANSWERED)


async def test_what_must_be_said_is_said_though_nobody_answers(bench: Bench):
    """The deadline of an order is no repetition."""

    def close(name: str, entity: Entity, now: float, eventid: str) -> Changes[bool]:
        if name != "late":
            return remind(name, entity, now, eventid)
        return Changes(False, {Key(KIND, name): {"repeats": 0}}, [an_event(eventid)])

    bench.watch, bench.sweeper = bench.a_watch(bench.runtime, remind=close)
    await bench.waits(*(str(number) for number in range(150)), seconds=0)
    await bench.pass_and_sweep(1)
    await bench.waits("late", seconds=0)

    await bench.pass_and_sweep(1)

    (closed,) = [each for each in said(bench.tables) if "again" not in each["attributes"]]
    assert DUE not in bench.tables.rows[Key(KIND, "late")].entity
    assert closed["claims"] == 0


async def test_patience_that_was_not_needed_for_long_is_not_saved_up(bench: Bench):
    await bench.pass_and_sweep(1_000)
    names = [str(number) for number in range(300)]
    await bench.waits(*names, seconds=0)

    await bench.pass_and_sweep(0.001)

    assert sum(bench.repeats(name) for name in names) == REMINDER_BURST


async def test_lagging_behind_uses_up_no_allowance(bench: Bench):
    names = [str(number) for number in range(300)]
    await bench.waits(*names, seconds=0)
    bench.is_saturated = True
    for _ in range(10):
        await bench.pass_and_sweep(0.001)

    bench.is_saturated = False
    await bench.pass_and_sweep(0.001)

    assert sum(bench.repeats(name) for name in names) == REMINDER_BURST


async def test_what_is_looked_at_and_not_said_is_put_off_and_uses_up_no_allowance(bench: Bench):
    """A ticket that only waits for its deadline is found by the same visit."""
    looked_at: list[str] = []

    def put_off(name: str, entity: Entity, now: float, eventid: str) -> Changes[bool]:
        looked_at.append(name)
        return Changes(False, {Key(KIND, name): {"repeats": 0, **due_property(name, now + 60)}})

    watch, bench.sweeper = bench.a_watch(bench.runtime, remind=put_off)
    await bench.waits(*(str(number) for number in range(50)), seconds=0)
    times = []
    for seconds in (1, 1, 60):
        await bench.pass_and_sweep(seconds)
        times.append(len(looked_at))

    assert times == [50, 50, 100]
    assert watch.capacity() == REMINDER_BURST
    assert said(bench.tables) == []


async def test_what_was_repeated_is_published_by_the_relay_at_once(bench: Bench):
    await bench.waits("a")
    relaying = asyncio.create_task(bench.relay.run())

    await bench.pass_and_sweep(16)
    await bench.clock.advance(1)
    relaying.cancel()

    assert [message.attributes["again"] for message in bench.bus.messages] == ["true"]
    assert said(bench.tables) == []


async def test_an_entity_that_is_gone_is_left_alone(bench: Bench):
    await bench.waits("a")
    await bench.clock.advance(20)
    row = bench.tables.rows[Key(KIND, "a")]
    await bench.tables.commit([Delete(Key(KIND, "a"))])

    await bench.watch.claim(Key(KIND, "a"), row)

    assert bench.tables.rows == {}
    assert bench.watch.capacity() == REMINDER_BURST


def test_waiting_is_written_into_the_index_and_resting_is_not():
    assert due_property("a", None) == {}
    assert set(due_property("a", START)) == {DUE}
    assert ReminderSchedule(1000).next_at(0, 0) == 600, "ten minutes are the most"
