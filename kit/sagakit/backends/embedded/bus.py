"""`Bus` over the embedded database: publishers wake pulls, and a pull leases the messages it delivers."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sagakit.backends.embedded import queue
from sagakit.backends.embedded.database import Database
from sagakit.backends.embedded.wake import Waker
from sagakit.bus import PULL_LEASE_SECONDS, Delivery, Message, PulledMessage, SubscriptionSpec
from sagakit.concurrency import first_completed
from sagakit.errors import Unavailable
from sagakit.runtime import Runtime

MAX_WAIT_SECONDS = 30.0
CLOSE_TIMEOUT_SECONDS = 5.0


class EmbeddedBus:
    """Publishes to every subscription of a topic; pulls the subscriptions of this process."""

    def __init__(self, database: Database, runtime: Runtime) -> None:
        self._database = database
        self._runtime = runtime
        self._waker = Waker(wake_folder(database.file))
        self._pulls: set[EmbeddedSubscription] = set()

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        now = self._runtime.monotonic()
        for name in await self._database.write(lambda db: queue.publish(db, topic, messages, now)):
            self._waker.wake(name)

    def subscribe(
        self, name: str, receive: Callable[[Delivery], None], max_outstanding: int
    ) -> "EmbeddedSubscription":
        pull = EmbeddedSubscription(
            name, receive, max_outstanding, self._database, self._waker, self._runtime
        )
        self._pulls.add(pull)
        pull.task.add_done_callback(lambda _: self._discard(pull))
        return pull

    async def subscription_problem(self, name: str) -> str | None:
        return await self._database.read(lambda db: queue.subscription_problem(db, name))

    async def ensure_topic(self, topic: str) -> None:
        await self._database.write(lambda db: db.execute("INSERT OR IGNORE INTO topic VALUES (?)", (topic,)))

    async def ensure_subscription(self, spec: SubscriptionSpec) -> str:
        return await self._database.write(lambda db: queue.put_subscription(db, spec))

    async def remove_subscription(self, name: str) -> None:
        await self._database.write(lambda db: queue.drop_subscription(db, name))
        self._waker.wake(name)

    async def sweep(self, prefix: str) -> list[str]:
        names = await self._database.read(lambda db: queue.subscription_names(db, prefix))
        dead = [name for name in names if not self._waker.has_waiter(name)]
        for name in dead:
            await self.remove_subscription(name)
        return dead

    async def close(self) -> None:
        """Close the pulls, after writing what has been settled to the file."""
        for pull in list(self._pulls):
            await pull.abandon()

    def _discard(self, pull: "EmbeddedSubscription") -> None:
        self._pulls.discard(pull)
        if not pull.task.cancelled():
            pull.task.exception()  # Marks it as retrieved: `ended` raises it.


def wake_folder(file: Path) -> Path:
    """Return the folder of the pipes that wake the processes at this database file."""
    return file.with_suffix(".wake")


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedDelivery:
    """A leased message, to be settled once."""

    lease: queue.Lease
    settle: Callable[[queue.Lease, bool], None]

    @property
    def message(self) -> Message:
        return self.lease.message

    @property
    def attempt(self) -> int:
        return self.lease.attempt

    def ack(self) -> None:
        self.settle(self.lease, True)

    def nack(self) -> None:
        self.settle(self.lease, False)


class EmbeddedSubscription:
    """An open pull: one task that leases, renews and settles, and otherwise sleeps until it is woken."""

    def __init__(
        self,
        name: str,
        receive: Callable[[Delivery], None],
        max_outstanding: int,
        database: Database,
        waker: Waker,
        runtime: Runtime,
    ) -> None:
        self._name = name
        self._receive = receive
        self._max_outstanding = max_outstanding
        self._database = database
        self._waker = waker
        self._runtime = runtime
        self._in_flight: dict[int, queue.Lease] = {}
        self._acked: list[queue.Lease] = []
        self._nacked: list[queue.Lease] = []
        self._renew_at = 0.0
        self._wake_event = asyncio.Event()
        self._closing = asyncio.Event()
        self.task = asyncio.create_task(self._run())

    async def ended(self) -> None:
        """Return once closed. Raises Unavailable if the file cannot be used."""
        await first_completed(self._closing.wait(), asyncio.shield(self.task))

    async def close(self) -> None:
        self._closing.set()
        self._wake_event.set()

    async def abandon(self) -> None:
        """Close, and write what has been settled; the leases of the others expire."""
        await self.close()
        self._in_flight.clear()
        with contextlib.suppress(Unavailable, TimeoutError):
            await asyncio.wait_for(self.task, CLOSE_TIMEOUT_SECONDS)

    async def _run(self) -> None:
        try:
            unregister = self._waker.on_wake(self._name, self._wake_event.set)
        except OSError as error:
            raise Unavailable(f"embedded bus: {error}") from error
        try:
            while True:
                self._wake_event.clear()
                wait = await self._run_once()
                if self._closing.is_set() and not self._in_flight and not self._acked and not self._nacked:
                    return
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake_event.wait(), wait)
        finally:
            unregister()

    async def _run_once(self) -> float:
        """Settle, renew and lease; return the seconds to sleep unless woken."""
        now = self._runtime.monotonic()
        acked, self._acked = self._acked, []
        nacked, self._nacked = self._nacked, []
        renewed = list(self._in_flight.values()) if now >= self._renew_at else []
        capacity = 0 if self._closing.is_set() else self._max_outstanding - len(self._in_flight)

        def work(
            db: sqlite3.Connection,
        ) -> tuple[SubscriptionSpec, list[str], list[queue.Lease], float | None]:
            # Each time: if the subscription has been removed, the pull ends.
            spec = queue.subscription_spec(db, self._name)
            queue.remove(db, [lease.id for lease in acked])
            woken = queue.nack(db, spec, nacked, now)
            queue.renew(db, renewed, now + spec.ack_deadline_seconds)
            woken += queue.move_to_dead_letter(db, spec, now)
            return spec, woken, queue.claim(db, spec, capacity, now), queue.next_visible(db, spec.name)

        spec, woken, lease, next_visible = await self._database.write(work)
        if renewed or not self._in_flight:
            self._renew_at = now + spec.ack_deadline_seconds / 3
        for name in woken:
            self._waker.wake(name)
        for each in lease:
            self._in_flight[each.id] = each
            self._receive(EmbeddedDelivery(each, self._settle))
        return self._wait_seconds(next_visible)

    def _wait_seconds(self, next_visible: float | None) -> float:
        wait = MAX_WAIT_SECONDS
        if self._in_flight:
            wait = min(wait, self._renew_at - self._runtime.monotonic())
        has_capacity = len(self._in_flight) < self._max_outstanding and not self._closing.is_set()
        if next_visible is not None and has_capacity:
            wait = min(wait, next_visible - self._runtime.monotonic())
        return max(wait, 0.001)

    def _settle(self, lease: queue.Lease, done: bool) -> None:
        if self._in_flight.pop(lease.id, None) is None:
            return
        (self._acked if done else self._nacked).append(lease)
        self._wake_event.set()


class EmbeddedPullSubscription:
    """Pulls one subscription on request."""

    def __init__(self, database: Database, runtime: Runtime, name: str) -> None:
        self._database = database
        self._runtime = runtime
        self._name = name

    async def pull(self, limit: int) -> list[PulledMessage]:
        now = self._runtime.monotonic()

        def work(db: sqlite3.Connection) -> list[queue.Lease]:
            return queue.claim(db, queue.subscription_spec(db, self._name), limit, now)

        return [PulledMessage(str(each.id), each.message) for each in await self._database.write(work)]

    async def acknowledge(self, messages: Sequence[PulledMessage]) -> None:
        await self._database.write(lambda db: queue.remove(db, [int(each.id) for each in messages]))

    async def extend(self, messages: Sequence[PulledMessage]) -> None:
        until = self._runtime.monotonic() + PULL_LEASE_SECONDS
        await self._database.write(lambda db: queue.extend(db, [int(each.id) for each in messages], until))

    async def release(self, messages: Sequence[PulledMessage]) -> None:
        await self._database.write(lambda db: queue.release(db, [int(each.id) for each in messages]))
