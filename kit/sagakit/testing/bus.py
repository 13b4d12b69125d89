"""`Bus`, `Provisioner` and `PullSubscription` over a broker in memory."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import count

from sagakit.bus import PULL_LEASE_SECONDS, Delivery, Message, PulledMessage, SubscriptionSpec
from sagakit.errors import Unavailable
from sagakit.testing.broker import Connection, MemoryBroker, MemoryPull, Queue, missing


class MemoryBus(Connection):
    """One process's connection to the broker: a `Bus`, and a `Provisioner`."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self._pulls: list[MemoryPull] = []

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        await self._call()
        self.broker.publish(topic, messages)

    def subscribe(self, name: str, receive: Callable[[Delivery], None], max_outstanding: int) -> MemoryPull:
        pull = MemoryPull(self, name, receive, max_outstanding)
        self._pulls.append(pull)
        self.broker.join(pull)
        return pull

    async def subscription_problem(self, name: str) -> str | None:
        await self._call()
        return self.broker.problem(name)

    async def ensure_topic(self, topic: str) -> None:
        await self._call()
        self.broker.topics[topic] = None

    async def ensure_subscription(self, spec: SubscriptionSpec) -> str:
        await self._call()
        return self.broker.ensure_subscription(spec)

    async def remove_subscription(self, name: str) -> None:
        await self._call()
        self.broker.remove_subscription(name)

    async def sweep(self, prefix: str) -> list[str]:
        await self._call()
        queues = self.broker.queues
        dead = [name for name, queue in queues.items() if name.startswith(prefix) and not queue.pulls]
        for name in dead:
            self.broker.remove_subscription(name)
        return dead

    def die(self) -> None:
        """Stop settling: the messages in flight are redelivered when their leases end."""
        for pull in self._pulls:
            pull.alive = False
            pull.end(None)

    async def _call(self) -> None:
        await asyncio.sleep(0)
        if self.broker.unavailable:
            raise Unavailable("the broker is unavailable")


class MemoryPullSubscription:
    """Pulls one subscription on request."""

    def __init__(self, broker: MemoryBroker, name: str) -> None:
        self._broker = broker
        self._name = name
        self._ids = count()
        self._leased: dict[str, tuple[Message, int, asyncio.TimerHandle]] = {}

    async def pull(self, limit: int) -> list[PulledMessage]:
        await asyncio.sleep(0)
        queue = self._queue()
        pulled, queue.waiting = queue.waiting[:limit], queue.waiting[limit:]
        found = [PulledMessage(str(next(self._ids)), message) for message, _ in pulled]
        for each, (message, attempt) in zip(found, pulled, strict=True):
            self._lease(each.id, message, attempt, queue.spec.ack_deadline_seconds)
        return found

    async def acknowledge(self, messages: Sequence[PulledMessage]) -> None:
        for each in messages:
            self._end(each.id)

    async def extend(self, messages: Sequence[PulledMessage]) -> None:
        for each in messages:
            if leased := self._end(each.id):
                self._lease(each.id, *leased, PULL_LEASE_SECONDS)

    async def release(self, messages: Sequence[PulledMessage]) -> None:
        for each in messages:
            if leased := self._end(each.id):
                self._queue().waiting.append(leased)

    def _queue(self) -> Queue:
        if self._broker.unavailable or self._name not in self._broker.queues:
            raise missing(self._name)
        return self._broker.queues[self._name]

    def _lease(self, lease: str, message: Message, attempt: int, seconds: float) -> None:
        timer = asyncio.get_running_loop().call_later(seconds, self._expire, lease)
        self._leased[lease] = (message, attempt, timer)

    def _end(self, lease: str) -> tuple[Message, int] | None:
        if lease not in self._leased:
            return None
        message, attempt, timer = self._leased.pop(lease)
        timer.cancel()
        return message, attempt

    def _expire(self, lease: str) -> None:
        message, attempt, _ = self._leased.pop(lease)
        if self._name in self._broker.queues:
            self._broker.queues[self._name].waiting.append((message, attempt + 1))
