"""The consumer: acknowledged after the commit, never before; and no event ends it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from sagakit.bus import Message
from sagakit.consumer import MAX_OUTSTANDING, SATURATION_WINDOW_SECONDS, Consumer, Outcome
from sagakit.errors import Contention, Poison, Unavailable
from sagakit.events import Event
from tests.support.clock import Clock, settled
from tests.support.manual_bus import ManualBus, ManualDelivery, ManualPull

SUBSCRIPTION = "one-service.things"
OTHER = "one-service.others"
DEAD_LETTERS = "dead-letter"


def a_message(type: str = "thing", **attributes: str) -> Message:
    return Message(b"body", {"eventid": "e1", "type": type, **attributes})


@dataclass
class Bench:
    """A consumer of two subscriptions, at a bus and a clock worked by hand."""

    clock: Clock = field(default_factory=Clock)
    bus: ManualBus = field(default_factory=ManualBus)
    handled: list[Event] = field(default_factory=list)
    meets: Callable[[Event], object] = lambda _: Outcome.APPLIED
    """What handling an event does."""
    store_is_away: bool = False
    store_asked: int = 0

    def __post_init__(self) -> None:
        self.consumer = Consumer(
            self.bus,
            [SUBSCRIPTION, OTHER],
            {"thing": self._handle},
            DEAD_LETTERS,
            self._check_backends,
            self.clock.runtime(),
        )

    async def _handle(self, event: Event) -> Outcome:
        self.handled.append(event)
        met = self.meets(event)
        return await met if asyncio.iscoroutine(met) else met

    async def _check_backends(self) -> None:
        self.store_asked += 1
        if self.store_is_away:
            raise Unavailable("the store is away")

    def pulls(self, name: str = SUBSCRIPTION) -> list[ManualPull]:
        return self.bus.pulls.get(name, [])

    @property
    def live(self) -> ManualPull:
        return self.pulls()[-1]

    async def deal_with(self, message: Message, attempt: int = 1) -> ManualDelivery:
        delivery = self.live.deliver(message, attempt)
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


@pytest.fixture
async def bench() -> Bench:
    return Bench()


def raises(error: Exception) -> Callable[[Event], object]:
    def meet(_: Event) -> object:
        raise error

    return meet


async def test_an_event_is_acknowledged_after_it_was_applied_and_not_before(bench: Bench):
    applied = asyncio.Event()
    bench.meets = lambda _: until(applied)

    async with bench.running():
        delivery = await bench.deal_with(a_message())
        assert delivery.settled == []

        applied.set()
        await settled()

        assert delivery.settled == ["ack"]
        assert bench.handled == [Event("e1", "thing", b"body", {})]


async def until(event: asyncio.Event) -> Outcome:
    await event.wait()
    return Outcome.APPLIED


@pytest.mark.parametrize("outcome", [Outcome.DUPLICATE, Outcome.IGNORED])
async def test_a_repeated_or_irrelevant_event_is_acknowledged(bench: Bench, outcome: Outcome):
    bench.meets = lambda _: outcome

    async with bench.running():
        delivery = await bench.deal_with(a_message())

    assert delivery.settled == ["ack"]


async def test_an_event_of_an_unknown_type_is_acknowledged(bench: Bench):
    async with bench.running():
        delivery = await bench.deal_with(a_message("something-else"))

    assert delivery.settled == ["ack"]
    assert bench.handled == []
    assert bench.bus.messages == []


@pytest.mark.parametrize(
    "error", [RuntimeError("a defect"), Contention("lost"), KeyError("x"), TimeoutError()]
)
async def test_an_event_that_failed_comes_again_and_the_others_go_on(bench: Bench, error: Exception):
    """The traps: acknowledging on exception, exiting on one."""
    bench.meets = raises(error)
    async with bench.running() as task:
        failed = await bench.deal_with(a_message())
        bench.meets = lambda _: Outcome.APPLIED
        fine = await bench.deal_with(a_message(eventid="e2"))

        assert failed.settled == ["nack"]
        assert fine.settled == ["ack"]
        assert not task.done()
        assert len(bench.pulls()) == 1


async def test_a_message_that_can_never_work_goes_to_the_dead_letters_with_its_reason(bench: Bench):
    """The trap: a poison message redelivered for ever."""
    bench.meets = raises(Poison("unknown-order"))
    message = a_message(googclient_x="1", goog_y="2", again="1")

    async with bench.running():
        delivery = await bench.deal_with(message)

    assert delivery.settled == ["ack"]
    [(topic, [letter])] = bench.bus.published
    assert topic == DEAD_LETTERS
    assert letter.data == b"body"
    assert letter.attributes == {
        "eventid": "e1",
        "type": "thing",
        "again": "1",
        "dead_letter_reason": "unknown-order",
        "dead_letter_subscription": SUBSCRIPTION,
        "dead_letter_time": "1970-01-12T13:46:40.000Z",
    }


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({}, "no-eventid"),
        ({"type": "thing"}, "no-eventid"),
        ({"eventid": "", "type": "thing"}, "no-eventid"),
        ({"eventid": "x" * 129, "type": "thing"}, "malformed-eventid"),
        ({"eventid": "a\nb", "type": "thing"}, "malformed-eventid"),
    ],
)
async def test_a_message_without_a_usable_eventid_goes_to_the_dead_letters(bench: Bench, attributes, reason):
    async with bench.running():
        delivery = await bench.deal_with(Message(b"{", attributes))

    assert delivery.settled == ["ack"]
    assert bench.bus.messages[0].attributes["dead_letter_reason"] == reason
    assert bench.handled == []


async def test_a_long_reason_is_cut_to_what_an_attribute_takes(bench: Bench):
    bench.meets = raises(Poison("ü" * 2_000))

    async with bench.running():
        await bench.deal_with(a_message())

    assert len(bench.bus.messages[0].attributes["dead_letter_reason"].encode()) == 1024


async def test_a_dead_letter_that_cannot_be_published_is_not_acknowledged(bench: Bench):
    bench.meets = raises(Poison("never"))
    bench.bus.away = True
    async with bench.running():
        delivery = await bench.deal_with(a_message())
        assert delivery.settled == ["nack"]

        bench.bus.away = False
        await bench.clock.advance(10)
        again = await bench.deal_with(a_message(), attempt=2)

        assert again.settled == ["ack"]
        assert len(bench.bus.messages) == 1


async def test_while_the_store_is_away_nothing_is_pulled(bench: Bench):
    """Nacking in a circle would drive healthy events into the dead letters."""
    bench.meets = raises(Unavailable("gone"))
    async with bench.running():
        bench.store_is_away = True
        delivery = await bench.deal_with(a_message())

        assert delivery.settled == ["nack"]
        assert bench.live.closed
        await bench.clock.advance(60)
        assert len(bench.pulls()) == 1
        assert bench.store_asked > 5

        bench.store_is_away = False
        await bench.clock.advance(5)
        assert len(bench.pulls()) == 2
        assert not bench.live.closed


async def test_an_outage_of_one_subscription_leaves_the_others_alone(bench: Bench):
    bench.meets = raises(Unavailable("gone"))
    async with bench.running():
        await bench.deal_with(a_message())

        assert bench.live.closed
        assert not bench.pulls(OTHER)[-1].closed


async def test_several_failures_of_one_outage_are_all_given_back(bench: Bench):
    gate = asyncio.Event()

    async def gone() -> Outcome:
        await gate.wait()
        raise Unavailable("gone")

    bench.meets = lambda _: gone()
    async with bench.running():
        deliveries = [bench.live.deliver(a_message(eventid=str(number))) for number in range(5)]
        await settled()
        gate.set()
        await settled()

        assert [delivery.settled for delivery in deliveries] == [["nack"]] * 5
        assert len(bench.pulls()) == 1


async def test_a_store_that_is_away_at_the_start_is_waited_for(bench: Bench):
    bench.store_is_away = True
    async with bench.running() as task:
        await bench.clock.advance(20)
        assert bench.pulls() == []
        assert not task.done()

        bench.store_is_away = False
        await bench.clock.advance(5)

        assert len(bench.pulls()) == 1


async def test_a_stream_that_ended_is_pulled_again(bench: Bench):
    async with bench.running():
        bench.live.end(Unavailable("permission denied"))
        await settled()
        assert len(bench.pulls()) == 1

        await bench.clock.advance(5)
        delivery = await bench.deal_with(a_message())

        assert len(bench.pulls()) == 2
        assert delivery.settled == ["ack"]


async def test_pulling_pauses_grow_to_a_few_seconds_and_start_over_after_a_good_time(bench: Bench):
    bench.store_is_away = True
    async with bench.running():
        await bench.clock.advance(100)
        before = bench.store_asked
        await bench.clock.advance(100)
        a_while = bench.store_asked - before

        # Two subscriptions, drawn evenly from nothing to five seconds: 2.5 s on average.
        assert 2 * 100 / 5 <= a_while <= 2 * 100


async def test_stop_waits_for_what_is_in_hand(bench: Bench):
    applied = asyncio.Event()
    bench.meets = lambda _: until(applied)
    task = asyncio.create_task(bench.consumer.run())
    await settled()
    delivery = await bench.deal_with(a_message())

    bench.consumer.stop()
    await settled()
    assert all(pull.closed for pull in bench.pulls() + bench.pulls(OTHER))
    assert not task.done()
    applied.set()
    await asyncio.wait_for(task, 5)

    assert delivery.settled == ["ack"]


async def test_stop_does_not_wait_for_a_store_that_is_away(bench: Bench):
    bench.store_is_away = True
    task = asyncio.create_task(bench.consumer.run())
    await settled()

    bench.consumer.stop()

    await asyncio.wait_for(task, 5)


async def test_a_slow_event_does_not_hold_up_the_others(bench: Bench):
    stuck = asyncio.Event()
    bench.meets = lambda event: until(stuck) if event.eventid == "slow" else Outcome.APPLIED
    async with bench.running():
        slow = await bench.deal_with(a_message(eventid="slow"))
        fast = await bench.deal_with(a_message(eventid="fast"))

        assert fast.settled == ["ack"]
        assert slow.settled == []
        stuck.set()


async def test_a_consumer_that_pulls_every_subscription_is_not_saturated(bench: Bench):
    before = bench.consumer.is_saturated
    async with bench.running():
        pulling = bench.consumer.is_saturated
        bench.meets = raises(Unavailable("gone"))
        bench.store_is_away = True
        await bench.deal_with(a_message())
        paused = bench.consumer.is_saturated
        bench.store_is_away = False
        await bench.clock.advance(10)
        again = bench.consumer.is_saturated

    assert (before, pulling, paused, again) == (True, False, True, False)
    assert bench.consumer.is_saturated


async def test_saturation_lasts_a_while_after_the_flow_control_limit(bench: Bench):
    async with bench.running():
        for number in range(MAX_OUTSTANDING - 1):
            bench.live.deliver(a_message(eventid=str(number)))
        nearly = bench.consumer.is_saturated
        bench.live.deliver(a_message(eventid="the last straw"))
        full = bench.consumer.is_saturated
        await bench.clock.advance(SATURATION_WINDOW_SECONDS - 0.1)
        soon_after = bench.consumer.is_saturated
        await bench.clock.advance(0.2)
        later = bench.consumer.is_saturated

    assert (nearly, full, soon_after, later) == (False, True, True, False)


async def test_settled_deliveries_are_not_in_flight(bench: Bench):
    async with bench.running():
        for number in range(2 * MAX_OUTSTANDING):
            await bench.deal_with(a_message(eventid=str(number)))

        assert not bench.consumer.is_saturated


async def test_the_limit_is_counted_by_subscription(bench: Bench):
    stuck = asyncio.Event()
    bench.meets = lambda _: until(stuck)
    async with bench.running():
        for number in range(MAX_OUTSTANDING - 1):
            bench.live.deliver(a_message(eventid=f"one {number}"))
            bench.pulls(OTHER)[-1].deliver(a_message(eventid=f"other {number}"))
        await settled()

        assert not bench.consumer.is_saturated
        stuck.set()


async def test_a_consumer_is_saturated_while_it_is_at_the_limit_and_a_while_longer(bench: Bench):
    """For example a hundred charges wait for a slow provider, and thousands more are queued."""
    slow = asyncio.Event()
    bench.meets = lambda _: until(slow)
    async with bench.running():
        for number in range(MAX_OUTSTANDING):
            bench.live.deliver(a_message(eventid=str(number)))
        await bench.clock.advance(2 * SATURATION_WINDOW_SECONDS)
        still_full = bench.consumer.is_saturated
        slow.set()
        await bench.clock.advance(SATURATION_WINDOW_SECONDS - 0.1)
        soon_after = bench.consumer.is_saturated
        await bench.clock.advance(0.2)
        later = bench.consumer.is_saturated

    assert (still_full, soon_after, later) == (True, True, False)


async def test_it_says_since_when_nothing_moves_though_there_is_work(bench: Bench):
    hung = asyncio.Event()
    async with bench.running():
        idle = bench.consumer.idle_since
        bench.meets = lambda _: until(hung)
        began = bench.clock.monotonic()
        first, second = bench.live.deliver(a_message()), bench.live.deliver(a_message(eventid="e2"))
        await bench.clock.advance(10)
        busy = bench.consumer.idle_since
        hung.set()
        await bench.clock.advance(1)

    assert (idle, busy, bench.consumer.idle_since) == (None, began, None)
    assert first.settled == second.settled == ["ack"]
