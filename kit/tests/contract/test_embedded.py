"""Promises of the embedded backend alone: it survives restarts, and wakes waiting processes."""

import asyncio
import sqlite3
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sagakit.backends.embedded.bus import EmbeddedBus, wake_folder
from sagakit.backends.embedded.database import Database, write_ahead
from sagakit.backends.embedded.wake import Waker
from sagakit.errors import Unavailable
from sagakit.runtime import Runtime
from sagakit.tables import UNREADABLE, Insert, Key
from sagakit.testing.contracts import OpenTables
from sagakit.testing.contracts.brokers import Listener, a_message, ack, keep, nack
from tests.support.brokers import Broker, BrokerAt
from tests.support.eventually import eventually
from tests.support.peer import ECHOES
from tests.support.stores import opener

TOPIC = "things"
ONE = "one-service.things"
DEAD = "dead-letter"


@pytest.fixture
def broker(broker_at: BrokerAt) -> Broker:
    return broker_at("embedded")


@pytest.fixture
def open_tables(tmp_path: Path) -> OpenTables:
    return opener("embedded", tmp_path / "data.sqlite3", "", "")


async def test_messages_and_their_settlement_survive_a_restart(broker: Broker):
    """A nacked message keeps its delay and its attempt; an acknowledged one is not delivered again."""
    await broker.provision(TOPIC, ONE, min_retry_seconds=1, max_retry_seconds=1)
    async with broker.open() as bus:
        before = Listener(
            lambda delivery: nack(delivery) if delivery.message.data == b"nacked" else ack(delivery)
        )
        pull = bus.subscribe(ONE, before, 10)
        await bus.publish(TOPIC, [a_message("acknowledged"), a_message("nacked")])
        await before.has(2)
        await pull.close()
        await bus.publish(TOPIC, [a_message("waiting")])

    async with broker.open() as bus:
        listener = Listener()
        bus.subscribe(ONE, listener, 10)

        assert await listener.has(2) == ["waiting", "nacked"]
        assert listener.attempts == [1, 2]
        assert listener.times[1] - before.times[1] >= 0.95
        assert await listener.stays_silent(1.3 * broker.lease_seconds)


async def test_waiting_process_is_woken_without_polling(broker: Broker):
    """A round trip between two idle processes takes less than 200 ms."""
    await broker.provision(TOPIC, ONE)
    await broker.provision(ECHOES, "one-service.echoes")
    async with broker.peer("echo", ONE) as peer, broker.open() as bus:
        assert await peer.stdout.readline() == b"ready\n"
        listener = Listener()
        bus.subscribe("one-service.echoes", listener, 10)
        round_trips = []
        for number in range(5):
            await asyncio.sleep(0.2)
            started = asyncio.get_running_loop().time()
            await bus.publish(TOPIC, [a_message(str(number))])
            await listener.has(number + 1)
            round_trips.append(listener.times[-1] - started)

    assert statistics.median(round_trips) < 0.2


@pytest.mark.parametrize("step", [-3600, -30, 3600])
async def test_wall_clock_step_does_not_delay_messages(broker: Broker, step: float):
    await broker.provision(TOPIC, ONE)
    clock = [time.time()]
    database = Database(broker.file)
    bus = EmbeddedBus(database, Runtime(now=lambda: clock[0]))
    await bus.publish(TOPIC, [a_message("before")])

    clock[0] += step
    listener = Listener()
    bus.subscribe(ONE, listener, 10)
    await listener.has(1, seconds=2)
    await bus.publish(TOPIC, [a_message("after")])

    assert await listener.has(2, seconds=2) == ["before", "after"]
    await bus.close()
    await database.close()


class CountedDatabase(Database):
    """Counts transactions."""

    transactions = 0

    async def write(self, work):
        self.transactions += 1
        return await super().write(work)


@pytest.mark.parametrize("published", [0, 5], ids=["idle", "closed with an unsettled delivery"])
async def test_waiting_pull_does_not_use_the_file(broker: Broker, published: int):
    """Not even a closed one with a delivery in flight, while the subscription has more messages."""
    await broker.provision(TOPIC, ONE, ack_deadline_seconds=10)
    database = CountedDatabase(broker.file)
    bus = EmbeddedBus(database, Runtime())
    listener = Listener(keep)
    pull = bus.subscribe(ONE, listener, 2)
    if published:
        await bus.publish(TOPIC, [a_message(str(number)) for number in range(published)])
        await listener.has(2)
        listener.deliveries[0].ack()
        await pull.close()
    await asyncio.sleep(0.2)

    before = database.transactions
    await asyncio.sleep(0.5)

    assert database.transactions == before
    await bus.close()
    await database.close()


async def test_pipe_of_a_killed_process_is_removed(broker: Broker):
    await broker.provision(TOPIC, ONE)
    async with broker.peer("hold", ONE) as peer:
        assert await peer.stdout.readline() == b"ready\n"
        [stale] = await eventually(lambda: list(wake_folder(broker.file).glob(f"{ONE}@*")))
        peer.kill()
        await peer.wait()

    async with broker.open() as bus:
        listener = Listener()
        bus.subscribe(ONE, listener, 10)
        await asyncio.sleep(0.1)
        await bus.publish(TOPIC, [a_message()])

        assert await listener.has(1, seconds=2) == ["hello"]
    assert not stale.exists()
    assert list(wake_folder(broker.file).iterdir()) == []


async def test_new_waiter_is_not_taken_for_dead(tmp_path: Path):
    """By a process that wakes the others at the same moment."""
    waker = Waker(tmp_path)
    stop = threading.Event()

    def wake_repeatedly() -> None:
        while not stop.is_set():
            waker.wake("name")

    thread = threading.Thread(target=wake_repeatedly)
    thread.start()
    try:
        for _ in range(1_000):
            awake = asyncio.Event()
            unregister = waker.on_wake("name", awake.set)
            await asyncio.wait_for(awake.wait(), 5)
            unregister()
    finally:
        stop.set()
        thread.join()


async def test_slow_waiter_does_not_block_wake(tmp_path: Path):
    waker = Waker(tmp_path)
    wakes = []
    unregister = waker.on_wake("name", lambda: wakes.append(1))

    for _ in range(70_000):
        waker.wake("name")

    await eventually(lambda: wakes)
    unregister()


async def test_message_that_crashes_its_holders_becomes_a_dead_letter(broker: Broker):
    """Known mistake: a poison message is redelivered for ever."""
    await broker.provision(DEAD, DEAD)
    await broker.provision(TOPIC, ONE, dead_letter_topic=DEAD, max_delivery_attempts=2)
    async with broker.open() as bus:
        await bus.publish(TOPIC, [a_message("deadly"), a_message("deadly too")])
    for _ in range(2):
        async with broker.peer("hold", ONE) as peer:
            assert await peer.stdout.readline() == b"ready\n"
            await asyncio.wait_for(peer.stdout.readline(), 5)
            peer.kill()

    async with broker.open() as bus:
        survivor, dead_letters = Listener(), Listener()
        bus.subscribe(ONE, survivor, 10)
        bus.subscribe(DEAD, dead_letters, 10)

        assert sorted(await dead_letters.has(2, seconds=5)) == ["deadly", "deadly too"]
        assert survivor.deliveries == []


async def test_missing_wake_folder_ends_the_pull(broker: Broker):
    await broker.provision(TOPIC, ONE)
    async with broker.open() as bus:
        wake_folder(broker.file).rmdir()

        pull = bus.subscribe(ONE, Listener(ack), 10)

        with pytest.raises(Unavailable):
            await asyncio.wait_for(pull.ended(), 5)


@pytest.mark.parametrize("body", ['{"a": 1', "[1]", '{"$time": 3}', "", "[" * 100_000])
async def test_damaged_entity_hides_no_other(tmp_path: Path, body: str):
    file = tmp_path / "data.sqlite3"
    keys = [Key("Thing", name) for name in ("a", "b", "c")]
    async with opener("embedded", file, "", "")() as tables:
        await tables.commit([Insert(key, {"due": "00:1", "is": "whole"}) for key in keys])
        with sqlite3.connect(file) as connection:
            connection.execute("UPDATE entity SET body = ? WHERE name = 'b'", (body,))
        connection.close()

        page = await tables.page("Thing", "", 10)
        due = await tables.due("Thing", "00:0", "00:2", 10)
        found = await tables.lookup(keys)

    for rows in (page, due, found.items()):
        assert [key.name for key, row in rows if row.entity.get("is") == "whole"] == ["a", "c"]
        assert [key.name for key, row in rows if UNREADABLE in row.entity] == ["b"]
    assert [row.entity["due"] for _, row in due] == ["00:1"] * 3


def test_new_file_can_be_set_to_write_ahead_logging_concurrently(tmp_path: Path):
    """SQLite does not wait for the lock when it changes a file to write-ahead logging."""

    def at_once(file: Path) -> None:
        connection = sqlite3.connect(file, isolation_level=None)
        together.wait()
        write_ahead(connection)
        connection.close()

    together = threading.Barrier(8)
    with ThreadPoolExecutor(8) as openers:
        for number in range(300):
            list(openers.map(at_once, [tmp_path / str(number)] * 8))
