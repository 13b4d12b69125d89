"""The simulated broker: at least once, in any order, and now and then not at all."""

import asyncio
import contextvars
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

from contract import topology
from sagakit.bus import Delivery, Message
from sagakit.errors import Unavailable
from tests.simulation.observer import Observer
from tests.simulation.weather import Weather

LEASE_SECONDS = 10.0
DELAY_SECONDS = 60.0
MAX_ATTEMPTS = 100
MAX_RETRY_SECONDS = 60.0

Receive = Callable[[Delivery], None]


class SimDelivery:
    """A message in a process's hand."""

    def __init__(self, message: Message, attempt: int, settle: Callable[[bool], None]) -> None:
        self.message = message
        self.attempt = attempt
        self._settle = settle

    def ack(self) -> None:
        self._settle(True)

    def nack(self) -> None:
        self._settle(False)


class SimPull:
    """A live pull of one process; dead, it settles nothing any more."""

    def __init__(self, broker: "SimBroker", name: str, receive: Receive, capacity: int) -> None:
        self._broker = broker
        self.name = name
        self._receive = receive
        self._context = contextvars.copy_context()
        self.capacity = capacity
        self.alive = True
        self._closed = asyncio.Event()

    def hand(self, delivery: SimDelivery) -> None:
        """As the process's own doing, whoever has sent it."""
        self._context.copy().run(self._receive, delivery)

    async def ended(self) -> None:
        await self._closed.wait()

    async def close(self) -> None:
        self._broker.leave(self)
        self._closed.set()


class SimBroker:
    """Subscriptions of the suite, dead letters, and how often every event was published."""

    def __init__(self, weather: Weather, random: Random, observer: Observer) -> None:
        self.weather = weather
        self.away = False
        self._random = random
        self._observer = observer
        self._waiting: dict[str, list[tuple[Message, int]]] = {}
        self._pulls: dict[str, list[SimPull]] = {}
        self._listening = {
            topic: [name for name, each in topology.subscriptions().items() if each == topic]
            for topic in topology.TOPICS.values()
        }
        self.dead_letters: list[Message] = []
        self.published: Counter[str] = Counter()
        self.delivered = 0
        self.in_flight = 0

    def take(self, topic: str, messages: Sequence[Message]) -> None:
        if topic == topology.DEAD_LETTER_TOPIC:
            self.dead_letters += messages
            return
        for message in messages:
            self.published[message.attributes["eventid"]] += 1
            for name in self._listening[topic]:
                if not self._happens(self.weather.dropped):
                    for _ in range(1 + self._happens(self.weather.duplicated)):
                        self._send(name, message, 1, self._delay())

    def join(self, pull: SimPull) -> None:
        self._pulls.setdefault(pull.name, []).append(pull)
        waiting, self._waiting[pull.name] = self._waiting.get(pull.name, []), []
        for message, attempt in waiting:
            self._send(pull.name, message, attempt, 0)

    def leave(self, pull: SimPull) -> None:
        if pull in self._pulls.get(pull.name, []):
            self._pulls[pull.name].remove(pull)

    def _send(self, name: str, message: Message, attempt: int, delay: float) -> None:
        self.in_flight += 1
        asyncio.get_running_loop().call_later(delay, self._arrive, name, message, attempt)

    def _arrive(self, name: str, message: Message, attempt: int) -> None:
        self.in_flight -= 1
        pulls = [pull for pull in self._pulls.get(name, []) if pull.capacity > 0]
        if not pulls:
            self._waiting.setdefault(name, []).append((message, attempt))
        elif attempt > MAX_ATTEMPTS:
            self.dead_letters.append(message)
        else:
            self._hand(self._random.choice(pulls), name, message, attempt)

    def _hand(self, pull: SimPull, name: str, message: Message, attempt: int) -> None:
        settled = False

        def settle(done: bool) -> None:
            nonlocal settled
            if settled or not pull.alive:
                return
            settled = True
            pull.capacity += 1
            if done:
                self._observer.acknowledged(name, message)
            if not done:
                pause = min(MAX_RETRY_SECONDS, 2.0 ** (attempt - 1))
                self._send(name, message, attempt + 1, self._random.uniform(0, pause))
            elif self._happens(self.weather.ack_lost):
                self._send(name, message, attempt + 1, LEASE_SECONDS)
            self._let_in(name)

        def lease_ends() -> None:
            if not settled and not pull.alive:
                self._send(name, message, attempt + 1, 0)
            elif not settled:
                asyncio.get_running_loop().call_later(LEASE_SECONDS, lease_ends)

        pull.capacity -= 1
        self.delivered += 1
        asyncio.get_running_loop().call_later(LEASE_SECONDS, lease_ends)
        pull.hand(SimDelivery(message, attempt, settle))

    def _let_in(self, name: str) -> None:
        waiting = self._waiting.get(name)
        if waiting:
            self._send(name, *waiting.pop(), 0)

    def _delay(self) -> float:
        slow = self._happens(self.weather.delayed)
        return self._random.uniform(0, DELAY_SECONDS) if slow else self.weather.latency(self._random)

    def _happens(self, odds: float) -> bool:
        return self._random.random() < odds


class SimBus:
    """One process's way to the broker."""

    def __init__(self, broker: SimBroker, random: Random) -> None:
        self._broker = broker
        self._random = random
        self._pulls: list[SimPull] = []

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        weather = self._broker.weather
        await asyncio.sleep(weather.latency(self._random))
        if self._broker.away or self._random.random() < weather.away:
            raise Unavailable("the broker is away")
        self._broker.take(topic, messages)
        await asyncio.sleep(weather.latency(self._random))
        if self._random.random() < weather.publish_unknown:
            raise Unavailable("the broker's answer was lost")

    def subscribe(self, name: str, receive: Receive, max_outstanding: int) -> SimPull:
        pull = SimPull(self._broker, name, receive, max_outstanding)
        self._pulls.append(pull)
        self._broker.join(pull)
        return pull

    def die(self) -> None:
        """The process is gone: what it had in hand comes again when its lease ends."""
        for pull in self._pulls:
            pull.alive = False
            self._broker.leave(pull)
