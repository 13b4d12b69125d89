"""`Bus` over the embedded database: pulls are woken by those who publish, and lease what they hand out."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sagakit.backends.embedded import queue
from sagakit.backends.embedded.database import Database
from sagakit.backends.embedded.wake import Waker
from sagakit.bus import Delivery, Message, SubscriptionSpec
from sagakit.errors import Unavailable
from sagakit.runtime import Runtime

MAX_WAIT_SECONDS = 30.0
CLOSE_TIMEOUT_SECONDS = 5.0


class EmbeddedBus:
    """Publishes to every subscription of a topic; pulls for the subscriptions of this process."""

    def __init__(self, database: Database, runtime: Runtime) -> None:
        self._database = database
        self._runtime = runtime
        self._waker = Waker(wake_folder(database.file))
        self._pulls: set[EmbeddedSubscription] = set()

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        now = self._runtime.now()
        self._wake(await self._database.write(lambda db: queue.publish(db, topic, messages, now)))

    def subscribe(
        self, name: str, receive: Callable[[Delivery], None], max_outstanding: int
    ) -> "EmbeddedSubscription":
        pull = EmbeddedSubscription(
            name, receive, max_outstanding, self._database, self._waker, self._runtime
        )
        self._pulls.add(pull)
        pull.task.add_done_callback(lambda _: self._over(pull))
        return pull

    async def ensure_topic(self, topic: str) -> None:
        await self._database.write(lambda db: db.execute("INSERT OR IGNORE INTO topic VALUES (?)", (topic,)))

    async def ensure_subscription(self, spec: SubscriptionSpec) -> None:
        await self._database.write(lambda db: queue.put_subscription(db, spec))

    async def remove_subscription(self, name: str) -> None:
        await self._database.write(lambda db: queue.drop_subscription(db, name))
        self._waker.wake(name)

    async def sweep(self, prefix: str) -> list[str]:
        names = await self._database.read(lambda db: queue.names(db, prefix))
        dead = [name for name in names if not self._waker.has_waiter(name)]
        for name in dead:
            await self.remove_subscription(name)
        return dead

    async def close(self) -> None:
        """What is settled by now is settled in the file as well."""
        for pull in list(self._pulls):
            await pull.abandon()

    def _over(self, pull: "EmbeddedSubscription") -> None:
        self._pulls.discard(pull)
        if not pull.task.cancelled():
            pull.task.exception()  # Seen: whoever cares awaits `ended`.

    def _wake(self, names: Iterable[str]) -> None:
        for name in set(names):
            self._waker.wake(name)


def wake_folder(file: Path) -> Path:
    return file.with_suffix(".wake")


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedDelivery:
    """A claimed message, settled once."""

    claimed: queue.Claimed
    settle: Callable[[queue.Claimed, bool], None]

    @property
    def message(self) -> Message:
        return self.claimed.message

    @property
    def attempt(self) -> int:
        return self.claimed.attempt

    def ack(self) -> None:
        self.settle(self.claimed, True)

    def nack(self) -> None:
        self.settle(self.claimed, False)


class EmbeddedSubscription:
    """A live pull: one task that claims, renews and settles, and otherwise sleeps until it is stirred."""

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
        self._in_hand: dict[int, queue.Claimed] = {}
        self._acked: list[queue.Claimed] = []
        self._nacked: list[queue.Claimed] = []
        self._renew_at = 0.0
        self._stir = asyncio.Event()
        self._closing = asyncio.Event()
        self.task = asyncio.create_task(self._run())

    async def ended(self) -> None:
        """Return once closed; raise Unavailable where the file gave out."""
        closing = asyncio.create_task(self._closing.wait())
        await asyncio.wait({closing, self.task}, return_when=asyncio.FIRST_COMPLETED)
        closing.cancel()
        if self.task.done():
            self.task.result()

    async def close(self) -> None:
        self._closing.set()
        self._stir.set()

    async def abandon(self) -> None:
        """Close and settle what can be settled; the leases of the rest run out."""
        await self.close()
        self._in_hand.clear()
        with contextlib.suppress(Unavailable, TimeoutError):
            await asyncio.wait_for(self.task, CLOSE_TIMEOUT_SECONDS)

    async def _run(self) -> None:
        try:
            forget = self._waker.on_wake(self._name, self._stir.set)
        except OSError as error:
            raise Unavailable(f"embedded bus: {error}") from error
        try:
            while True:
                self._stir.clear()
                wait = await self._turn()
                if self._closing.is_set() and not self._in_hand and not self._acked and not self._nacked:
                    return
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stir.wait(), wait)
        finally:
            forget()

    async def _turn(self) -> float:
        """Settle, renew, claim; returns for how many seconds nothing is to be done unless stirred."""
        now = self._runtime.now()
        acked, self._acked = self._acked, []
        nacked, self._nacked = self._nacked, []
        renewed = list(self._in_hand.values()) if now >= self._renew_at else []
        room = 0 if self._closing.is_set() else self._max_outstanding - len(self._in_hand)

        def work(
            db: sqlite3.Connection,
        ) -> tuple[SubscriptionSpec, list[str], list[queue.Claimed], float | None]:
            # Each time, as it may have been removed: then the pull is over.
            spec = queue.spec_of(db, self._name)
            queue.ack(db, acked)
            woken = queue.nack(db, spec, nacked, now)
            queue.renew(db, renewed, now + spec.ack_deadline_seconds)
            woken += queue.move_to_dead_letter(db, spec, now)
            return spec, woken, queue.claim(db, spec, room, now), queue.next_visible(db, spec.name)

        spec, woken, claimed, next_visible = await self._database.write(work)
        if renewed or not self._in_hand:
            self._renew_at = now + spec.ack_deadline_seconds / 3
        for name in woken:
            self._waker.wake(name)
        for each in claimed:
            self._in_hand[each.id] = each
            self._receive(EmbeddedDelivery(each, self._settle))
        return self._wait_seconds(next_visible)

    def _wait_seconds(self, next_visible: float | None) -> float:
        now = self._runtime.now()
        wait = MAX_WAIT_SECONDS
        if self._in_hand:
            wait = min(wait, self._renew_at - now)
        has_room = len(self._in_hand) < self._max_outstanding and not self._closing.is_set()
        if next_visible is not None and has_room:
            wait = min(wait, next_visible - now)
        return max(wait, 0.001)

    def _settle(self, claimed: queue.Claimed, done: bool) -> None:
        if self._in_hand.pop(claimed.id, None) is None:
            return
        (self._acked if done else self._nacked).append(claimed)
        self._stir.set()
