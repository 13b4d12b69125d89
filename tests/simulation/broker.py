"""The simulated broker: it delivers at least once, in any order, and sometimes not at all."""

import asyncio
import contextvars
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from random import Random

from contract.reactions import NOT_PUBLISHED_BY
from contract.tickets import PAID, PAYMENT_FAILED, PRE_APPROVED, TicketMessage
from contract.topology import TOPOLOGY
from sagakit.bus import Delivery, Message
from sagakit.errors import Unavailable
from sagakit.events import Event
from tests.simulation.faults import FaultRates
from tests.simulation.observer import Observer
from tests.support.newer_release import NEW_STATUS, NewerRelease

LEASE_SECONDS = 10.0
DELAY_SECONDS = 60.0
MAX_ATTEMPTS = 100
MAX_RETRY_SECONDS = 60.0
FORGED = "forged-"
WITHOUT_NEW_STATUS = "delivery"
"""The service whose newer replicas do not know NEW_STATUS either: they are not yet deployed."""

Receive = Callable[[Delivery], None]


class SimDelivery:
    """A message that was delivered to a process."""

    def __init__(self, message: Message, attempt: int, settle: Callable[[bool], None]) -> None:
        self.message = message
        self.attempt = attempt
        self._settle = settle

    def ack(self) -> None:
        self._settle(True)

    def nack(self) -> None:
        self._settle(False)


class SimPull:
    """The pull of one process. Once the process is dead, it settles nothing."""

    def __init__(
        self, broker: "SimBroker", name: str, receive: Receive, capacity: int, knows_new_status: bool
    ) -> None:
        self._broker = broker
        self.knows_new_status = knows_new_status
        """Whether the process is of a release that applies events with NEW_STATUS."""
        self.name = name
        self._receive = receive
        self._context = contextvars.copy_context()
        self.capacity = capacity
        self.alive = True
        self._closed = asyncio.Event()

    def deliver(self, delivery: SimDelivery) -> None:
        """Call the receiver in the context of the process that pulls, not of the sender."""
        if self.knows_new_status and NEW_STATUS.encode() in delivery.message.data:
            delivery.ack()
            return
        self._context.copy().run(self._receive, delivery)

    async def ended(self) -> None:
        await self._closed.wait()

    async def close(self) -> None:
        self._broker.leave(self)
        self._closed.set()


class SimBroker:
    """The suite's subscriptions, its dead letters, and how often each event was published."""

    def __init__(self, faults: FaultRates, random: Random, observer: Observer) -> None:
        self.faults = faults
        self.unavailable = False
        self._random = random
        self._observer = observer
        self._waiting: dict[str, list[tuple[Message, int]]] = {}
        self._pulls: dict[str, list[SimPull]] = {}
        self._deletions: Counter[str] = Counter()
        """How often each subscription was deleted; messages of an earlier one are lost."""
        self._missing_until: dict[str, float] = {}
        self._subscribers = {
            topic: [name for name, each in TOPOLOGY.subscriptions().items() if each == topic]
            for topic in TOPOLOGY.topics.values()
        }
        self.dead_letters: list[Message] = []
        self.published: Counter[str] = Counter()
        self.delivered = 0
        self.lost = 0
        """Redeliveries that were lost because the subscription had been deleted."""
        self.in_flight = 0

    def publish(self, topic: str, messages: Sequence[Message]) -> None:
        if topic == TOPOLOGY.dead_letter_topic:
            self.dead_letters += [each for each in messages if not _is_rejected_forgery(each)]
            return
        if topic == TOPOLOGY.topics["purchase"] and self.faults.forged:
            self.publish(TOPOLOGY.topics["delivery"], [*filter(None, map(self._forge, messages))])
        for message in messages:
            self.published[message.attributes["eventid"]] += 1
            for name in self._subscribers[topic]:
                if not self._is_missing(name) and not self._happens(self.faults.dropped):
                    for _ in range(1 + self._happens(self.faults.duplicated)):
                        self._send(name, message, 1, self._delay())

    def _forge(self, message: Message) -> Message | None:
        """Return the report about a new order that only payment may publish; None if nothing is forged."""
        ticket = TicketMessage.from_event(Event.from_message(message))
        if ticket.status != PRE_APPROVED or not self._happens(self.faults.forged):
            return None
        forged = replace(ticket, status=self._random.choice([PAID, PAYMENT_FAILED]))
        return forged.to_event(f"{FORGED}{self._random.getrandbits(64)}", {}).to_message()

    def delete_subscriptions(self, service: str) -> None:
        """Delete a service's subscriptions with all their messages, and make them again a while later."""
        made_again_at = asyncio.get_running_loop().time() + self.faults.missing_seconds
        for name in chain.from_iterable(self._subscribers.values()):
            if name.startswith(f"{service}-"):
                self._deletions[name] += 1
                self._missing_until[name] = made_again_at
                self._waiting.pop(name, None)

    def join(self, pull: SimPull) -> None:
        self._pulls.setdefault(pull.name, []).append(pull)
        waiting, self._waiting[pull.name] = self._waiting.get(pull.name, []), []
        for message, attempt in waiting:
            self._send(pull.name, message, attempt, 0)

    def leave(self, pull: SimPull) -> None:
        if pull in self._pulls.get(pull.name, []):
            self._pulls[pull.name].remove(pull)

    def _is_missing(self, name: str) -> bool:
        return asyncio.get_running_loop().time() < self._missing_until.get(name, 0.0)

    def _send(self, name: str, message: Message, attempt: int, delay: float) -> None:
        self.in_flight += 1
        deletions = self._deletions[name]
        asyncio.get_running_loop().call_later(delay, self._arrive, name, message, attempt, deletions)

    def _arrive(self, name: str, message: Message, attempt: int, deletions: int) -> None:
        self.in_flight -= 1
        if deletions != self._deletions[name]:
            return
        pulls = [pull for pull in self._pulls.get(name, []) if pull.capacity > 0]
        if not pulls:
            self._waiting.setdefault(name, []).append((message, attempt))
        elif attempt > MAX_ATTEMPTS:
            self.dead_letters.append(message)
        else:
            self._deliver(self._random.choice(pulls), name, message, attempt)

    def _deliver(self, pull: SimPull, name: str, message: Message, attempt: int) -> None:
        settled = False
        redeliver = partial(self._redeliver, name, message, attempt + 1, self._deletions[name])

        def settle(done: bool) -> None:
            nonlocal settled
            if settled or not pull.alive:
                return
            settled = True
            pull.capacity += 1
            if done:
                self._observer.acknowledged(name, message, None if pull.knows_new_status else attempt)
            if not done:
                redeliver(self._random.uniform(0, min(MAX_RETRY_SECONDS, 2.0 ** (attempt - 1))))
            elif self._happens(self.faults.ack_lost):
                redeliver(LEASE_SECONDS)
            self._deliver_waiting(name)

        def lease_ends() -> None:
            if not settled and not pull.alive:
                redeliver(0)
            elif not settled:
                asyncio.get_running_loop().call_later(LEASE_SECONDS, lease_ends)

        pull.capacity -= 1
        self.delivered += 1
        asyncio.get_running_loop().call_later(LEASE_SECONDS, lease_ends)
        pull.deliver(SimDelivery(message, attempt, settle))

    def _redeliver(self, name: str, message: Message, attempt: int, deletions: int, delay: float) -> None:
        """Send a message again, unless its subscription was deleted since it was delivered."""
        if deletions == self._deletions[name]:
            self._send(name, message, attempt, delay)
        else:
            self.lost += 1

    def _deliver_waiting(self, name: str) -> None:
        waiting = self._waiting.get(name)
        if waiting:
            self._send(name, *waiting.pop(), 0)

    def _delay(self) -> float:
        slow = self._happens(self.faults.delayed)
        return self._random.uniform(0, DELAY_SECONDS) if slow else self.faults.latency(self._random)

    def _happens(self, probability: float) -> bool:
        return self._random.random() < probability


def _is_rejected_forgery(letter: Message) -> bool:
    attributes = letter.attributes
    reason = attributes["dead_letter_reason"]
    return attributes["eventid"].startswith(FORGED) and reason.startswith(NOT_PUBLISHED_BY)


class SimBus:
    """One process's connection to the broker."""

    def __init__(self, broker: SimBroker, random: Random, release: NewerRelease | None, service: str) -> None:
        """`release`: the newer release that the process is of; None: this version."""
        self._broker = broker
        self._random = random
        self._release = release
        self._knows_new_status = release is not None and service != WITHOUT_NEW_STATUS
        self._pulls: list[SimPull] = []

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        faults = self._broker.faults
        await asyncio.sleep(faults.latency(self._random))
        if self._broker.unavailable or self._random.random() < faults.unavailable:
            raise Unavailable("the broker is unavailable")
        if self._release is not None and topic != TOPOLOGY.dead_letter_topic:
            messages = [self._release.message(each) for each in messages]
        self._broker.publish(topic, messages)
        await asyncio.sleep(faults.latency(self._random))
        if self._random.random() < faults.publish_unknown:
            raise Unavailable("the broker's response was lost")

    def subscribe(self, name: str, receive: Receive, max_outstanding: int) -> SimPull:
        pull = SimPull(self._broker, name, receive, max_outstanding, self._knows_new_status)
        self._pulls.append(pull)
        self._broker.join(pull)
        return pull

    def die(self) -> None:
        """Stop settling: the messages in flight are redelivered when their leases end."""
        for pull in self._pulls:
            pull.alive = False
            self._broker.leave(pull)
