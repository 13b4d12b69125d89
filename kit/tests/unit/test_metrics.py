"""The kit's metrics: each part says what happened to it, and asks the store nothing for it."""

import asyncio
import socket
import subprocess
import sys
from contextlib import asynccontextmanager

import grpc
import httpx
import pytest

from sagakit.bus import Message
from sagakit.consumer import FAILED, NACKED, PAUSED, Consumer, Outcome
from sagakit.errors import Contention, NotFound, Poison, Unavailable
from sagakit.events import Event, timestamp
from sagakit.grpc.server import GrpcServer
from sagakit.outbox import Outbox
from sagakit.relay import Relay
from sagakit.store import Changes
from sagakit.tables import Insert, Key
from sagakit.telemetry import metrics
from sagakit.telemetry.instruments import NO_METRICS
from sagakit.telemetry.outbox_metrics import FORGOTTEN_AFTER_SECONDS
from sagakit.telemetry.prometheus import serve_metrics
from tests.support.clock import Clock, settled
from tests.support.grpcserver import registering
from tests.support.manual_bus import ManualBus
from tests.support.metrics import Measured, parsed
from tests.support.steps import OUTBOX, TOPIC, a_store, counting, refusing
from tests.support.tables import MemoryTables

SUBSCRIPTION = "one-service.things"


@asynccontextmanager
async def consuming(clock: Clock, measured: Measured, meets):
    """A pull of a consumer that does `meets` about every event."""
    bus = ManualBus()

    async def handle(event: Event) -> Outcome:
        return meets(event)

    async def answers() -> None:
        return

    recorder = clock.recorder(measured.metrics, ["own-reason"])
    consumer = Consumer(
        bus, [SUBSCRIPTION], {"thing": handle}, "dead", answers, clock.runtime(observer=recorder)
    )
    recorder.observe_consumer(consumer)
    running = asyncio.create_task(consumer.run())
    await settled()
    try:
        yield bus.pulls[SUBSCRIPTION][-1]
    finally:
        consumer.stop()
        await running


def a_message(**attributes: str) -> Message:
    return Message(b"", {"eventid": "e", "type": "thing", **attributes})


def raising(error: Exception):
    def meets(_: Event) -> Outcome:
        raise error

    return meets


@pytest.mark.parametrize(
    ("meets", "outcome"),
    [
        (lambda _: Outcome.APPLIED, "applied"),
        (lambda _: Outcome.DUPLICATE, "duplicate"),
        (lambda _: Outcome.IGNORED, "ignored"),
        (raising(Poison("own-reason")), "dead_lettered"),
        (raising(Contention("others")), NACKED),
        (raising(Unavailable("away")), PAUSED),
        (raising(ZeroDivisionError()), FAILED),
    ],
)
async def test_every_delivery_counts_once_with_what_became_of_it(meets, outcome):
    clock, measured = Clock(), Measured()

    async with consuming(clock, measured, meets) as pull:
        pull.deliver(a_message())
        await settled()

    name = "saga_event_duration_seconds_count"
    assert measured.value(name, subscription=SUBSCRIPTION, outcome=outcome) == 1
    assert measured.value(name) == 1


async def test_a_dead_letter_counts_with_a_reason_that_is_known_or_other_and_is_0_before():
    clock, measured = Clock(), Measured()
    reasons = iter(["own-reason: status", "another: 4711"])

    def refuse() -> Outcome:
        raise Poison(next(reasons))

    async with consuming(clock, measured, lambda _: refuse()) as pull:
        before = measured.samples()
        pull.deliver(a_message())
        pull.deliver(a_message())
        await settled()

    labels = {labels["reason"] for name, labels, _ in before if name == "saga_dead_letters_total"}
    assert labels == {*metrics.DEAD_LETTER_REASONS, "own-reason"}
    assert before.value("saga_dead_letters_total") == 0
    assert measured.value("saga_dead_letters_total", reason="own-reason") == 1
    assert measured.value("saga_dead_letters_total", reason=metrics.OTHER) == 1


async def test_the_age_of_an_event_is_since_it_was_said_where_that_is_known():
    clock, measured = Clock(), Measured()

    async with consuming(clock, measured, lambda _: Outcome.APPLIED) as pull:
        pull.deliver(a_message(time=timestamp(clock.now() - 3)))
        pull.deliver(a_message(time=timestamp(clock.now() + 60)))
        pull.deliver(a_message(time="yesterday"))
        pull.deliver(a_message())
        await settled()

    assert measured.value("saga_event_age_seconds_count") == 2
    assert measured.value("saga_event_age_seconds_sum") == pytest.approx(3)


async def test_what_is_in_hand_and_whether_it_is_pulled_can_be_seen():
    clock, measured = Clock(), Measured()
    dealt_with = asyncio.Event()

    async def slow(_: Event) -> Outcome:
        await dealt_with.wait()
        return Outcome.APPLIED

    async def answers() -> None:
        return

    bus, recorder = ManualBus(), clock.recorder(measured.metrics)
    runtime = clock.runtime(observer=recorder)
    consumer = Consumer(bus, [SUBSCRIPTION], {"thing": slow}, "dead", answers, runtime)
    recorder.observe_consumer(consumer)
    assert (measured.value("saga_subscription_active"), measured.value("saga_consumer_saturated")) == (0, 1)
    running = asyncio.create_task(consumer.run())
    await settled()
    bus.pulls[SUBSCRIPTION][-1].deliver(a_message())
    await settled()
    assert measured.value("saga_events_in_flight", subscription=SUBSCRIPTION) == 1
    assert (measured.value("saga_subscription_active"), measured.value("saga_consumer_saturated")) == (1, 0)
    dealt_with.set()
    await settled()
    assert measured.value("saga_events_in_flight") == 0
    consumer.stop()
    await running


class Publishing:
    """A relay at a bus and a clock worked by hand."""

    def __init__(self) -> None:
        self.clock, self.bus, self.measured, self.tables = Clock(), ManualBus(), Measured(), MemoryTables()
        self.runtime = self.clock.runtime(observer=self.clock.recorder(self.measured.metrics))
        self.outbox = Outbox(OUTBOX, self.runtime)
        self.relay = Relay(self.tables, self.bus, TOPIC, self.outbox, self.runtime)

    @asynccontextmanager
    async def running(self):
        running = asyncio.create_task(self.relay.run())
        try:
            yield self
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def an_event(self, eventid: str, seconds_ago: float = 0) -> Event:
        return Event(eventid, "t", b"", {"time": timestamp(self.clock.now() - seconds_ago)})

    @property
    def backlog(self) -> tuple[float, float]:
        """How many, and how old the oldest."""
        value = self.measured.value
        return value("saga_outbox_depth"), value("saga_outbox_oldest_age_seconds")


async def test_the_outbox_is_as_deep_and_as_old_as_what_the_relay_has_in_hand():
    bench = Publishing()
    bench.bus.open.clear()

    async with bench.running():
        assert bench.backlog == (0, 0)
        bench.relay.enqueue([bench.an_event("a", 7), bench.an_event("b")])
        await settled()
        assert bench.backlog == (2, 7)
        bench.bus.open.set()
        await bench.clock.advance(1)

    assert bench.backlog == (0, 0)
    assert bench.measured.value("saga_events_published_total") == 2
    assert bench.measured.value("saga_publish_duration_seconds_count", outcome="ok") == 1


async def test_what_the_relay_gave_up_is_known_until_it_is_published_or_a_quarter_of_an_hour_later():
    bench = Publishing()
    bench.bus.away = True

    async with bench.running():
        bench.relay.enqueue([bench.an_event("a", 5), bench.an_event("b")])
        await bench.clock.advance(60)
        assert bench.backlog == (2, 65)
        assert bench.measured.value("saga_publish_duration_seconds_count", outcome="unavailable") > 1

        bench.bus.away = False
        bench.relay.enqueue([Event("a", "t", b"", {})])
        await bench.clock.advance(1)
        assert bench.backlog == (1, 61)

        await bench.clock.advance(FORGOTTEN_AFTER_SECONDS)
        assert bench.backlog == (0, 0)


async def test_an_adopted_row_is_as_old_as_when_it_was_said():
    bench = Publishing()
    bench.bus.open.clear()
    event = bench.an_event("left")
    await bench.tables.commit(bench.outbox.inserts([event]))
    await bench.clock.advance(90)

    async with bench.running():
        (left,) = await bench.tables.due(OUTBOX, "", "~", 1)
        await bench.relay.take_over(*left)
        assert bench.backlog == (1, 90)
        bench.bus.open.set()
        await bench.clock.advance(1)


async def test_a_step_counts_with_how_it_ended_and_lost_races_with_it():
    clock, measured = Clock(), Measured()
    tables = MemoryTables()
    store = a_store(tables, clock.runtime(observer=clock.recorder(measured.metrics)))
    key = Key("Counter", "a")
    count = "saga_transaction_duration_seconds_count"

    await store.transact([key], counting(key))
    await store.transact([key], lambda _: Changes(0))
    with pytest.raises(Exception, match="not like this"):
        await store.transact([key], refusing())

    outcomes = {each: measured.value(count, outcome=each) for each in ("committed", "unchanged", "raised")}
    assert outcomes == {"committed": 1, "unchanged": 1, "raised": 1}
    assert measured.value("saga_transactions_conflicts_total") == 0


async def test_a_blind_insert_of_what_is_there_is_a_lost_race_and_what_it_counts_counts_once():
    clock, measured = Clock(), Measured()
    tables, key = MemoryTables(), Key("Thing", "a")
    await tables.commit([Insert(key, {"n": 0})])
    store = a_store(tables, clock.runtime(observer=clock.recorder(measured.metrics)))
    counted = []

    stepping = asyncio.create_task(
        store.transact([], lambda _: Changes(None, {key: {"n": 1}}, on_commit=lambda: counted.append(1)))
    )
    await clock.advance(1)
    await stepping

    assert measured.value("saga_transactions_conflicts_total") == 1
    assert counted == [1]


PURCHASE = "one.Service"


@asynccontextmanager
async def serving(measured: Measured, behaviour):
    server = GrpcServer(
        "127.0.0.1", 0, [registering(PURCHASE, {"Do": behaviour})], [PURCHASE], metrics=measured.metrics
    )
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield server, channel
    finally:
        await server.stop(0)


@pytest.mark.parametrize(
    ("error", "code"),
    [(None, "OK"), (NotFound("unknown", "no"), "NOT_FOUND"), (ZeroDivisionError(), "INTERNAL")],
)
async def test_every_call_counts_with_its_method_and_its_code(error, code):
    measured = Measured()

    async def behaviour(_, __):
        if error:
            raise error
        return b""

    async with serving(measured, behaviour) as (_, channel):
        try:
            await channel.unary_unary(f"/{PURCHASE}/Do")(b"", timeout=5)
        except grpc.aio.AioRpcError as failed:
            assert failed.code().name == code
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.unary_unary("/whatever.Somebody/Asks")(b"", timeout=5)
        await channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=5)

    samples = measured.samples()
    labels = {"rpc_method": f"{PURCHASE}/Do", "rpc_response_status_code": code}
    assert samples.value("rpc_server_call_duration_seconds_count", **labels) == 1
    # Callers can make up names of methods, but no labels.
    assert samples.value("rpc_server_call_duration_seconds_count", rpc_method="_OTHER") == 1
    assert samples.value("rpc_server_call_duration_seconds_count") == 2


async def test_whether_it_serves_can_be_seen():
    measured = Measured()

    async with serving(measured, None) as (server, _):
        assert measured.value("saga_serving") == 0
        await server.set_serving(True)
        assert measured.value("saga_serving") == 1


def test_metrics_are_served_at_the_port_and_nowhere_else_and_not_afterwards():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/metrics"

    with serve_metrics("one", "127.0.0.1", port) as measures:
        measures.counter(metrics.TRANSACTION_CONFLICTS).add(3)
        samples = parsed(httpx.get(url, trust_env=False).text)

    assert samples.value("saga_transactions_conflicts_total") == 3
    assert samples.value("target_info", service_name="one") == 1
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)


def test_a_port_that_is_taken_is_an_error_that_names_the_setting():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(OSError, match="METRICS_PORT"):
            with serve_metrics("one", "127.0.0.1", taken.getsockname()[1]):
                raise AssertionError


def test_without_a_port_nothing_is_measured_and_nothing_of_it_is_loaded():
    program = (
        "import sys, sagakit.run, services.gateway.__main__\n"
        "from sagakit.telemetry.prometheus import serve_metrics\n"
        "with serve_metrics('one', '127.0.0.1', None) as measures:\n"
        "    assert not measures.enabled\n"
        "loaded = [name for name in sys.modules if name.startswith('prometheus_client')]\n"
        "sys.exit(str(loaded) if loaded else 0)\n"
    )

    subprocess.run([sys.executable, "-c", program], check=True)

    assert not NO_METRICS.enabled
