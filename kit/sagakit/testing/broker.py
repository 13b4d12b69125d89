"""A broker in memory: topics, and subscriptions with leases, retry delays and dead letters.

It runs on the time of the event loop, virtual or real. The simulation runs on it too, with a `Transport` that
loses, doubles and delays messages.
"""

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from random import Random

from sagakit.bus import Delivery, Message, SubscriptionSpec
from sagakit.errors import Unavailable
from sagakit.runtime import Backoff


class Transport:
    """How messages travel: each arrives once, at once. Subclasses make it worse."""

    def delays(self, subscription: str, message: Message) -> Sequence[float]:  # noqa: ARG002
        """Return after how many seconds each copy of a published message arrives; empty: it is lost."""
        return (0.0,)

    def loses_ack(self) -> bool:
        """Whether an acknowledgement is lost, so that the message is redelivered after its lease."""
        return False


@dataclass(eq=False, slots=True)
class Queue:
    """A subscription: its settings, the messages that wait, and the open pulls."""

    spec: SubscriptionSpec
    waiting: list[tuple[Message, int]]
    """Each with the number of its next delivery."""
    pulls: list["MemoryPull"]


class MemoryDelivery:
    """A delivered message, to be settled once."""

    def __init__(
        self, broker: "MemoryBroker", queue: Queue, pull: "MemoryPull", message: Message, attempt: int
    ) -> None:
        self.message = message
        self.attempt = attempt
        self._broker = broker
        self._queue = queue
        self._pull = pull
        self._settled = False
        self._redelivered = False
        """Whether its lease has ended, because its process was frozen or dead."""
        self._renew()

    def ack(self) -> None:
        self._settle(done=True)

    def nack(self) -> None:
        self._settle(done=False)

    def _settle(self, *, done: bool) -> None:
        if self._settled or not self._pull.alive:
            return
        if self._pull.connection.is_cut_off:
            self._pull.connection.held.append(lambda: self._settle(done=done))
            return
        self._settled = True
        self._pull.capacity += 1
        if not self._redelivered:
            self._broker.settled(self._queue, self.message, self.attempt, done=done)
        self._broker.deliver_waiting(self._queue)

    def _renew(self) -> None:
        lease_seconds = self._queue.spec.ack_deadline_seconds
        asyncio.get_running_loop().call_later(lease_seconds, self._lease_ends)

    def _lease_ends(self) -> None:
        """Renew the lease, as the process's client does while it runs."""
        if self._settled:
            return
        if self._pull.alive and not self._pull.connection.is_cut_off:
            self._renew()
        else:
            self._redelivered = True
            self._broker.redeliver(self._queue, self.message, self.attempt + 1, 0)


class Connection:
    """One process's connection to a broker."""

    def __init__(self, broker: "MemoryBroker") -> None:
        self.broker = broker
        self.frozen = False
        """Whether the process is stopped."""
        self.held: list[Callable[[], None]] = []
        """Deliveries, and their settling, that wait until the process is reached again."""

    @property
    def is_cut_off(self) -> bool:
        """Whether nothing gets through: leases end, and nothing is received."""
        return self.frozen

    def resume(self) -> None:
        """Let through what was held."""
        held, self.held = self.held, []
        for each in held:
            each()


class MemoryPull:
    """An open pull. Once its process is dead, it settles nothing."""

    def __init__(
        self, connection: Connection, name: str, receive: Callable[[Delivery], None], capacity: int
    ) -> None:
        self.connection = connection
        self.name = name
        self.capacity = capacity
        self.alive = True
        self._receive = receive
        self._context = contextvars.copy_context()
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def deliver(self, delivery: Delivery) -> None:
        """Call the receiver in the context of the process that pulls, not of the sender."""
        if self.connection.is_cut_off:
            self.connection.held.append(lambda: self.deliver(delivery))
        elif self.alive:
            self._context.copy().run(self._receive, delivery)

    async def ended(self) -> None:
        await asyncio.shield(self._over)

    async def close(self) -> None:
        self.end(None)

    def end(self, error: Exception | None) -> None:
        """Deliver nothing any more. Deliveries in flight may still be settled."""
        self.connection.broker.leave(self)
        if not self._over.done():
            self._over.set_exception(error) if error else self._over.set_result(None)
            self._over.exception()  # Marks it as retrieved: a caller need not await `ended`.


class MemoryBroker:
    """The state that all processes share; each has a `Connection` of its own, a `MemoryBus`."""

    def __init__(self, transport: Transport | None = None, random: Random | None = None) -> None:
        self.topics: dict[str, None] = {}
        self.queues: dict[str, Queue] = {}
        """The subscriptions by name."""
        self.unavailable = False
        self.in_flight = 0
        """Messages on their way to a subscription."""
        self.delivered = 0
        self.lost = 0
        """Messages that were delivered, and not redelivered because their subscription had been deleted."""
        self._transport = transport or Transport()
        self._random = random or Random()

    def publish(self, topic: str, messages: Sequence[Message]) -> None:
        """Send to every subscription of the topic. Raises Unavailable if there is no such topic."""
        self._check(topic)
        for message in messages:
            for name, queue in self.queues.items():
                if queue.spec.topic == topic:
                    for delay in self._transport.delays(name, message):
                        self._send(queue, message, 1, delay)

    def ensure_subscription(self, spec: SubscriptionSpec) -> str:
        """See `Provisioner.ensure_subscription`."""
        self._check(spec.topic)
        if spec.dead_letter_topic is not None:
            self._check(spec.dead_letter_topic)
        if spec.name not in self.queues:
            self.queues[spec.name] = Queue(spec, [], [])
            return ""
        queue = self.queues[spec.name]
        before, queue.spec = queue.spec, spec
        # Nothing is filtered: receivers must work without.
        names = [each.name for each in fields(spec) if each.name != "ignored"]
        changed = [name for name in names if getattr(before, name) != getattr(spec, name)]
        return f"updated {', '.join(changed)}" if changed else ""

    def remove_subscription(self, name: str) -> None:
        """Delete a subscription with all its messages, also those that were delivered and not settled."""
        queue = self.queues.pop(name, None)
        for pull in [] if queue is None else list(queue.pulls):
            pull.end(missing(name))

    def join(self, pull: MemoryPull) -> None:
        """Deliver to a pull from now on."""
        queue = self.queues.get(pull.name)
        if queue is None:
            pull.end(missing(pull.name))
            return
        queue.pulls.append(pull)
        waiting, queue.waiting = queue.waiting, []
        for message, attempt in waiting:
            self._send(queue, message, attempt, 0)

    def leave(self, pull: MemoryPull) -> None:
        """Deliver to a pull no more."""
        queue = self.queues.get(pull.name)
        if queue is not None and pull in queue.pulls:
            queue.pulls.remove(pull)

    def problem(self, name: str) -> str | None:
        """See `Bus.subscription_problem`."""
        if name not in self.queues:
            return str(missing(name))
        if self.queues[name].spec.topic not in self.topics:
            return f"the topic of subscription {name} was deleted: provision again"
        return None

    def settled(self, queue: Queue, message: Message, attempt: int, *, done: bool) -> None:
        """Forget an acknowledged message, or redeliver it."""
        spec = queue.spec
        if not done:
            backoff = Backoff(spec.min_retry_seconds, spec.max_retry_seconds, spec.max_delivery_attempts)
            self.redeliver(queue, message, attempt + 1, backoff.max_delay(attempt - 1))
        elif self._transport.loses_ack():
            self.redeliver(queue, message, attempt + 1, spec.ack_deadline_seconds)

    def redeliver(self, queue: Queue, message: Message, attempt: int, delay: float) -> None:
        """Send a message again, unless its subscription was deleted since it was delivered."""
        spec = queue.spec
        if self.queues.get(spec.name) is not queue:
            self.lost += 1
        elif spec.dead_letter_topic is not None and attempt > spec.max_delivery_attempts:
            self.publish(spec.dead_letter_topic, [_dead_letter(spec.name, message, attempt - 1)])
        else:
            self._send(queue, message, attempt, delay)

    def deliver_waiting(self, queue: Queue) -> None:
        """Deliver a message that waited for a pull with capacity."""
        if queue.waiting:
            self._send(queue, *queue.waiting.pop(0), 0)

    def _send(self, queue: Queue, message: Message, attempt: int, delay: float) -> None:
        self.in_flight += 1
        asyncio.get_running_loop().call_later(delay, self._arrive, queue, message, attempt)

    def _arrive(self, queue: Queue, message: Message, attempt: int) -> None:
        self.in_flight -= 1
        if self.queues.get(queue.spec.name) is not queue:
            return
        pulls = [pull for pull in queue.pulls if pull.capacity > 0]
        if not pulls:
            queue.waiting.append((message, attempt))
            return
        pull = self._random.choice(pulls)
        pull.capacity -= 1
        self.delivered += 1
        pull.deliver(MemoryDelivery(self, queue, pull, message, attempt))

    def _check(self, topic: str) -> None:
        if topic not in self.topics:
            raise Unavailable(f"topic {topic} does not exist: has it been provisioned?")


def missing(name: str) -> Unavailable:
    return Unavailable(f"subscription {name} does not exist: has it been provisioned?")


def _dead_letter(subscription: str, message: Message, attempts: int) -> Message:
    """Return the message with the attributes that Pub/Sub adds to dead letters."""
    marks = {
        "CloudPubSubDeadLetterSourceSubscription": subscription,
        "CloudPubSubDeadLetterSourceDeliveryCount": str(attempts),
    }
    return Message(message.data, {**message.attributes, **marks})
