"""The kit's metrics: each part reports its work, without a call of the store."""

import asyncio
from functools import partial

import pytest

from sagakit.backends import Backend
from sagakit.consumer import FAILED, NACKED, PAUSED, Outcome
from sagakit.errors import Contention, Poison, Unavailable
from sagakit.events import Event, timestamp
from sagakit.ignored import Ignored
from sagakit.messaging import Messaging
from sagakit.service import Service
from sagakit.settings import ServiceSettings
from sagakit.store import Changes
from sagakit.tables import Insert, Key
from sagakit.telemetry import metrics
from sagakit.telemetry.outbox_metrics import FORGOTTEN_AFTER_SECONDS
from sagakit.testing.clock import Clock, settled
from sagakit.testing.tables import MemoryTables
from tests.support.counter import ENVIRON, OUTBOX, a_store, counting, rejecting
from tests.support.harness import SUBSCRIPTION, ConsumerHarness, Harness, a_message, background, raises
from tests.support.manual_bus import ManualBus
from tests.support.metrics import Measured


def consuming(clock: Clock, measured: Measured, handle) -> ConsumerHarness:
    """A consumer whose deliveries are measured."""
    recorder = clock.recorder(measured.metrics, ["own-reason"])
    harness = ConsumerHarness(handle, clock, observer=recorder)
    recorder.observe_consumer(harness.consumer)
    return harness


@pytest.mark.parametrize(
    ("handle", "outcome"),
    [
        (lambda _: Outcome.APPLIED, "applied"),
        (lambda _: Outcome.DUPLICATE, "duplicate"),
        (lambda _: Outcome.IGNORED, "ignored"),
        (raises(Poison("own-reason")), "dead_lettered"),
        (raises(Contention("others")), NACKED),
        (raises(Unavailable("away")), PAUSED),
        (raises(ZeroDivisionError()), FAILED),
    ],
)
async def test_each_delivery_counts_once_with_its_outcome(handle, outcome):
    clock, measured = Clock(), Measured()

    harness = consuming(clock, measured, handle)
    async with harness.running():
        harness.pull.deliver(a_message())
        await settled()

    name = "saga_event_duration_seconds_count"
    assert measured.value(name, subscription=SUBSCRIPTION, outcome=outcome) == 1
    assert measured.value(name) == 1


async def test_event_that_is_ignored_by_its_attributes_counts_as_ignored():
    clock, measured = Clock(), Measured()
    recorder = clock.recorder(measured.metrics)
    ignores = {"things": Ignored("thing", "status", frozenset({"moved"}))}
    harness = ConsumerHarness(clock=clock, observer=recorder, ignores=ignores)

    async with harness.running():
        await harness.deliver(a_message(status="moved"))

    name = "saga_event_duration_seconds_count"
    assert measured.value(name, subscription=SUBSCRIPTION, outcome="ignored") == 1
    assert measured.value(name) == 1


async def test_dead_letters_count_by_known_reasons_or_other_from_0():
    clock, measured = Clock(), Measured()
    reasons = iter(["own-reason: status", "another: 4711"])

    def refuse() -> Outcome:
        raise Poison(next(reasons))

    harness = consuming(clock, measured, lambda _: refuse())
    async with harness.running():
        before = measured.samples()
        harness.pull.deliver(a_message())
        harness.pull.deliver(a_message())
        await settled()

    labels = {labels["reason"] for name, labels, _ in before if name == "saga_dead_letters_total"}
    assert labels == {*metrics.DEAD_LETTER_REASONS, "own-reason"}
    assert before.value("saga_dead_letters_total") == 0
    assert measured.value("saga_dead_letters_total", reason="own-reason") == 1
    assert measured.value("saga_dead_letters_total", reason=metrics.OTHER) == 1


async def test_dead_letter_reasons_of_a_service_count_from_0():
    clock, measured = Clock(), Measured()
    recorder = clock.recorder(measured.metrics)
    settings, backend = ServiceSettings.from_environ(ENVIRON), Backend(MemoryTables(), ManualBus())
    runtime = clock.runtime(observer=recorder)

    Messaging("counter", settings, backend, runtime, lambda _: Service(dead_letter_reasons=["out-of-points"]))

    labels = {"reason": "out-of-points"}
    found = [value for name, each, value in measured.samples() if each == labels]
    assert found == [0]


async def test_age_of_an_event_is_measured_if_it_has_a_time():
    clock, measured = Clock(), Measured()

    harness = consuming(clock, measured, lambda _: Outcome.APPLIED)
    async with harness.running():
        harness.pull.deliver(a_message(time=timestamp(clock.now() - 3)))
        harness.pull.deliver(a_message(time=timestamp(clock.now() + 60)))
        harness.pull.deliver(a_message(time="yesterday"))
        harness.pull.deliver(a_message())
        await settled()

    assert measured.value("saga_event_age_seconds_count") == 2
    assert measured.value("saga_event_age_seconds_sum") == pytest.approx(3)


async def test_gauges_show_events_in_flight_and_active_subscriptions():
    clock, measured = Clock(), Measured()
    applied = asyncio.Event()

    async def slow() -> Outcome:
        await applied.wait()
        return Outcome.APPLIED

    harness = consuming(clock, measured, lambda _: slow())
    value = partial(measured.value, subscription=SUBSCRIPTION)
    assert (value("saga_subscription_active"), measured.value("saga_consumer_saturated")) == (0, 1)
    async with harness.running():
        await harness.deliver(a_message())
        assert value("saga_events_in_flight") == 1
        assert (value("saga_subscription_active"), measured.value("saga_consumer_saturated")) == (1, 0)
        applied.set()
        await settled()
        assert value("saga_events_in_flight") == 0


class PublishingHarness(Harness):
    """A relay whose work is measured."""

    def __post_init__(self) -> None:
        self.measured = Measured()
        self.observer = self.clock.recorder(self.measured.metrics)
        super().__post_init__()

    def aged(self, eventid: str, seconds: float = 0) -> Event:
        return Event(eventid, "t", b"", {"time": timestamp(self.clock.now() - seconds)})

    @property
    def backlog(self) -> tuple[float, float]:
        """Depth of the outbox, and age of its oldest event."""
        value = self.measured.value
        return value("saga_outbox_depth"), value("saga_outbox_oldest_age_seconds")


async def test_outbox_depth_and_age_are_those_of_events_in_the_relay():
    harness = PublishingHarness()
    harness.bus.open.clear()

    async with background(harness.relay.run()):
        assert harness.backlog == (0, 0)
        harness.relay.enqueue([harness.aged("a", 7), harness.aged("b")])
        await settled()
        assert harness.backlog == (2, 7)
        harness.bus.open.set()
        await harness.clock.advance(1)

    assert harness.backlog == (0, 0)
    assert harness.measured.value("saga_events_published_total") == 2
    assert harness.measured.value("saga_publish_duration_seconds_count", outcome="ok") == 1


async def test_given_up_event_counts_until_published_or_for_15_minutes():
    harness = PublishingHarness()
    harness.bus.unavailable = True

    async with background(harness.relay.run()):
        harness.relay.enqueue([harness.aged("a", 5), harness.aged("b")])
        await harness.clock.advance(60)
        assert harness.backlog == (2, 65)
        assert harness.measured.value("saga_publish_duration_seconds_count", outcome="unavailable") > 1

        harness.bus.unavailable = False
        harness.relay.enqueue([Event("a", "t", b"", {})])
        await harness.clock.advance(1)
        assert harness.backlog == (1, 61)

        await harness.clock.advance(FORGOTTEN_AFTER_SECONDS)
        assert harness.backlog == (0, 0)


async def test_age_of_a_claimed_row_is_that_of_its_event():
    harness = PublishingHarness()
    harness.bus.open.clear()
    event = harness.aged("left")
    await harness.tables.commit(harness.outbox.inserts([event]))
    await harness.clock.advance(90)

    async with background(harness.relay.run()):
        (left,) = await harness.tables.due(OUTBOX, "", "~", 1)
        await harness.relay.take_over(*left)
        assert harness.backlog == (1, 90)
        harness.bus.open.set()
        await harness.clock.advance(1)


async def test_transactions_count_by_outcome():
    clock, measured = Clock(), Measured()
    tables = MemoryTables()
    store = a_store(tables, clock.runtime(observer=clock.recorder(measured.metrics)))
    key = Key("Counter", "a")
    count = "saga_transaction_duration_seconds_count"

    await store.transact([key], counting(key))
    await store.transact([key], lambda _: Changes(0))
    with pytest.raises(Exception, match="rejected"):
        await store.transact([key], rejecting)

    outcomes = {each: measured.value(count, outcome=each) for each in ("committed", "unchanged", "raised")}
    assert outcomes == {"committed": 1, "unchanged": 1, "raised": 1}
    assert measured.value("saga_transactions_conflicts_total") == 0


async def test_conflict_counts_and_on_commit_is_called_once():
    clock, measured = Clock(), Measured()
    tables, key = MemoryTables(), Key("Thing", "a")
    await tables.commit([Insert(key, {"n": 0})])
    store = a_store(tables, clock.runtime(observer=clock.recorder(measured.metrics)))
    calls = []

    stepping = asyncio.create_task(
        store.transact([], lambda _: Changes(None, {key: {"n": 1}}, on_commit=lambda: calls.append(1)))
    )
    await clock.advance(1)
    await stepping

    assert measured.value("saga_transactions_conflicts_total") == 1
    assert calls == [1]
