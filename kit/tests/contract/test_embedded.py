"""What only the embedded backend promises: it survives restarts, and processes that wait are woken."""

import asyncio
import sqlite3
import statistics
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kit.tests.contract.conftest import BrokerAt
from sagakit.backends.embedded.bus import EmbeddedBus, wake_folder
from sagakit.backends.embedded.database import Database, write_ahead
from sagakit.backends.embedded.wake import Waker
from sagakit.errors import Unavailable
from sagakit.runtime import Runtime
from sagakit.tables import Insert, Key
from tests.support.brokers import Broker, Listener, a_message, ack, keep, nack
from tests.support.counter import a_store, count_in, counting
from tests.support.eventually import eventually
from tests.support.peer import ECHOES
from tests.support.stores import OpenTables, opener

TOPIC = "things"
ONE = "one-service.things"
DEAD = "dead-letter"


@pytest.fixture
def broker(broker_at: BrokerAt) -> Broker:
    return broker_at("embedded")


@pytest.fixture
def open_tables(tmp_path: Path) -> OpenTables:
    return opener("embedded", tmp_path / "data.sqlite3", "", "")


async def test_messages_survive_a_restart(broker: Broker):
    await broker.provision(TOPIC, ONE)
    async with broker.open() as bus:
        await bus.publish(TOPIC, [a_message("waiting")])

    async with broker.open() as bus:
        listener = Listener()
        bus.subscribe(ONE, listener, 10)

        assert await listener.has(1) == ["waiting"]


async def test_a_redelivery_survives_a_restart_with_its_pause_and_its_count(broker: Broker):
    await broker.provision(TOPIC, ONE, min_retry_seconds=1, max_retry_seconds=1)
    async with broker.open() as bus:
        before = Listener(nack)
        bus.subscribe(ONE, before, 10)
        await bus.publish(TOPIC, [a_message()])
        await before.has(1)

    async with broker.open() as bus:
        listener = Listener()
        bus.subscribe(ONE, listener, 10)
        await listener.has(1)

        assert listener.attempts == [2]
        assert listener.times[0] - before.times[0] >= 0.95


async def test_what_was_acknowledged_stays_so_after_a_restart(broker: Broker):
    await broker.provision(TOPIC, ONE)
    async with broker.open() as bus:
        listener = Listener()
        bus.subscribe(ONE, listener, 10)
        await bus.publish(TOPIC, [a_message()])
        await listener.has(1)

    async with broker.open() as bus:
        again = Listener()
        bus.subscribe(ONE, again, 10)

        assert await again.stays_silent(1.3 * broker.lease_seconds)


async def test_a_waiting_process_is_woken_not_polled(broker: Broker):
    """There and back again between two idle processes, in less than 100 ms each way."""
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


class CountedDatabase(Database):
    """Counts transactions."""

    transactions = 0

    async def write(self, work):
        self.transactions += 1
        return await super().write(work)


async def test_a_waiting_pull_leaves_the_file_alone(broker: Broker):
    await broker.provision(TOPIC, ONE)
    database = CountedDatabase(broker.file)
    bus = EmbeddedBus(database, Runtime())
    bus.subscribe(ONE, Listener(), 10)
    await asyncio.sleep(0.2)

    before = database.transactions
    await asyncio.sleep(0.5)

    assert database.transactions == before
    await bus.close()
    await database.close()


async def test_a_closed_pull_with_something_in_hand_leaves_the_file_alone(broker: Broker):
    """Though there is more to pull, for others."""
    await broker.provision(TOPIC, ONE, ack_deadline_seconds=10)
    database = CountedDatabase(broker.file)
    bus = EmbeddedBus(database, Runtime())
    listener = Listener(keep)
    pull = bus.subscribe(ONE, listener, 2)
    await bus.publish(TOPIC, [a_message(str(number)) for number in range(5)])
    await listener.has(2)
    listener.deliveries[0].ack()
    await pull.close()
    await asyncio.sleep(0.2)

    before = database.transactions
    await asyncio.sleep(0.5)

    assert database.transactions == before
    await bus.close()
    await database.close()


async def test_what_a_killed_process_leaves_in_the_wake_folder_does_no_harm(broker: Broker):
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


async def test_who_begins_to_wait_is_not_taken_for_dead(tmp_path: Path):
    """By those who wake others at that very moment."""
    waker = Waker(tmp_path)
    stop = threading.Event()

    def wake_all_the_time() -> None:
        while not stop.is_set():
            waker.wake("name")

    thread = threading.Thread(target=wake_all_the_time)
    thread.start()
    try:
        for _ in range(1_000):
            awake = asyncio.Event()
            forget = waker.on_wake("name", awake.set)
            await asyncio.wait_for(awake.wait(), 5)
            forget()
    finally:
        stop.set()
        thread.join()


async def test_a_waiter_that_is_slow_to_read_blocks_nobody(tmp_path: Path):
    waker = Waker(tmp_path)
    wakes = []
    forget = waker.on_wake("name", lambda: wakes.append(1))

    for _ in range(70_000):
        waker.wake("name")

    await eventually(lambda: wakes)
    forget()


async def test_a_message_that_its_holders_die_of_goes_to_the_dead_letters(broker: Broker):
    """The trap: a poison message redelivered for ever."""
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
        survivor, letters = Listener(), Listener()
        bus.subscribe(ONE, survivor, 10)
        bus.subscribe(DEAD, letters, 10)

        assert sorted(await letters.has(2, seconds=5)) == ["deadly", "deadly too"]
        assert survivor.deliveries == []


async def test_processes_that_open_a_new_file_at_once_all_get_it(open_tables: OpenTables):
    async def increment() -> None:
        async with open_tables() as tables:
            await a_store(tables).transact([Key("Counter", "a")], counting())

    await asyncio.gather(*(increment() for _ in range(12)))

    async with open_tables() as tables:
        assert await count_in(tables) == 12


async def test_two_processes_at_one_file_see_each_others_commits_at_once(open_tables: OpenTables):
    async with open_tables() as here, open_tables() as there:
        for number in range(20):
            key = Key("Thing", str(number))
            await here.commit([Insert(key, {"n": number})])

            assert (await there.lookup([key]))[key].entity == {"n": number}


async def test_what_a_transaction_raises_undoes_it(tmp_path: Path):
    database = Database(tmp_path / "data.sqlite3")

    def half(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO topic VALUES ('half')")
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(half)

    assert await database.read(lambda db: db.execute("SELECT * FROM topic").fetchall()) == []
    await database.close()


async def test_a_full_disk_is_an_outage_after_which_life_goes_on(tmp_path: Path):
    """The trap: exiting the process on an I/O error."""
    database = Database(tmp_path / "data.sqlite3")
    pages = await database.read(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
    await database.read(lambda db: db.execute(f"PRAGMA max_page_count = {pages + 3}"))

    def big(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO topic VALUES (?)", ["x" * 1_000_000])

    with pytest.raises(Unavailable):
        await database.write(big)
    await database.read(lambda db: db.execute("PRAGMA max_page_count = 100000"))
    await database.write(big)

    assert await database.read(lambda db: db.execute("SELECT count(*) FROM topic").fetchone()) == (1,)
    await database.close()


async def test_a_folder_that_is_gone_ends_the_pull_but_not_the_process(broker: Broker):
    await broker.provision(TOPIC, ONE)
    async with broker.open() as bus:
        wake_folder(broker.file).rmdir()

        pull = bus.subscribe(ONE, Listener(ack), 10)

        with pytest.raises(Unavailable):
            await asyncio.wait_for(pull.ended(), 5)


def test_processes_that_open_a_new_file_at_the_same_moment_all_get_it(tmp_path: Path):
    """SQLite waits for no lock where a file is turned over to write-ahead logging."""

    def at_once(file: Path) -> None:
        connection = sqlite3.connect(file, isolation_level=None)
        together.wait()
        write_ahead(connection)
        connection.close()

    together = threading.Barrier(8)
    with ThreadPoolExecutor(8) as openers:
        for number in range(300):
            list(openers.map(at_once, [tmp_path / str(number)] * 8))
