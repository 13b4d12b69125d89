"""One run of a simulation: processes, database, broker and clients on virtual time, and injected faults."""

import asyncio
import zlib
from collections import Counter
from collections.abc import Collection, Coroutine, MutableMapping, Sequence
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

from sagakit.backends import Backend
from sagakit.bus import Message, SubscriptionSpec, subscription_name
from sagakit.errors import Contention, Rejected, SagaError, Unavailable
from sagakit.events import Event
from sagakit.tables import Key, Mutation
from sagakit.testing.backends import Commit, FaultyBus, FaultyTables, FaultyTransport, IndexedTables
from sagakit.testing.broker import MemoryBroker
from sagakit.testing.expiry import Expiries
from sagakit.testing.injections import injections
from sagakit.testing.outboxes import Outboxes
from sagakit.testing.process import START, Died, SimulatedProcess
from sagakit.testing.scenario import Outcome
from sagakit.testing.story import Story

if TYPE_CHECKING:
    from sagakit.testing.simulation import Simulation

MAX_OUTAGE_START_SECONDS = 300.0
"""Until when the broker fails at the latest; so most small runs have no outage."""
MIN_FAULTY_SECONDS = 60.0
"""How long faults are injected at least: while sagas of a small run are in progress."""
SETTLE_SECONDS = 2 * 3600.0
"""Maximum time until everything has settled, once no more faults are injected."""
CHECK_INTERVAL_SECONDS = 30.0
CLIENT_ATTEMPTS = 400
"""How often a client calls; with pauses that grow to 10 s, for half an hour. A service with one process that
dies every few seconds makes little progress, and that is no broken promise."""


class World:
    """One run. Its attributes are what scenarios read and change."""

    def __init__(self, simulation: "Simulation", seed: int, sagas: int, *, tell: bool = False) -> None:
        """`tell`: whether to record the story."""
        self.simulation = simulation
        self.topology = topology = simulation.topology
        self.sagas = sagas
        """How many clients there are."""
        self.arrival_seconds = simulation.interval_seconds * sagas
        """Period over which they begin."""
        self.random = Random(seed)
        self.faults = simulation.faults
        """The current fault rates: in the end nothing fails."""
        self.problems: list[str] = []
        """The promises that were broken so far."""
        self.counts: Counter[str] = Counter()
        """The scenario's figures."""
        self.reached: Counter[str] = Counter()
        """Names of what the run has reached, with counts; see `Simulation.must_reach`."""
        self.expired: set[Key] = set()
        """The entities that have expired."""
        self.tables = IndexedTables(Expiries(self.now, self.faults.expiry_speedup))
        self.broker = MemoryBroker(FaultyTransport(self), self.random)
        self.at_least_once = simulation.at_least_once()
        self.story = Story(lambda: asyncio.get_running_loop().time()) if tell else None
        self.scenario = simulation.scenario(self)
        self.processes = [
            SimulatedProcess(
                self, service, replica, simulation.services[service], simulation.settings(service)
            )
            for service in topology.names
            for replica in range(simulation.processes()[service])
        ]
        self._outboxes = Outboxes(topology.names, self.reached, simulation.faults.skew_seconds)
        self._outcome = Outcome(seed, sagas, self.problems)

    def now(self) -> float:
        """Return the wall-clock time, in seconds since the epoch."""
        return START + asyncio.get_running_loop().time()

    def new_id(self) -> str:
        """Return a new id."""
        return f"{self.random.getrandbits(128):032x}"

    def happens(self, probability: float) -> bool:
        """Return True with that probability."""
        return self.random.random() < probability

    def fails(self, fault: str) -> bool:
        """Return whether a fault happens now, by its rate, and count that it was reached."""
        happens = self.happens(getattr(self.faults, fault))
        if happens:
            self.reached[f"fault {fault}"] += 1
        return happens

    def apply(self, mutations: Sequence[Mutation]) -> None:
        """Apply the mutations of a commit. Raises Contention, and counts on which kind of entities."""
        try:
            self.tables.apply(mutations)
        except Contention:
            kinds = dict.fromkeys(each.key.kind for each in mutations if self.tables.conflicts(each))
            self.reached.update(f"conflict on {kind}" for kind in kinds)
            raise

    def tell(self, who: str, what: str) -> None:
        """Add to the story what concerns a process as a whole."""
        if self.story is not None:
            self.story.add(who, what)

    def connect(self, name: str) -> Backend:
        """Return the backend as a client or operator sees it."""
        return Backend(FaultyTables(self), FaultyBus(self, name))

    async def publish(self, topic: str, event: Event) -> None:
        """Publish an event as a client does: repeatedly, until the broker has accepted it."""
        bus = FaultyBus(self, "client")
        while True:
            try:
                return await bus.publish(topic, [event.to_message()])
            except Unavailable:
                await asyncio.sleep(self.random.uniform(0, 1))

    async def call(self, service: str, method: str, request: Any) -> Any:
        """Call replicas of a service at random until one responds; return the response.

        Raises Rejected if the service rejects the call, and TimeoutError if no replica responds.
        """
        replicas = [process for process in self.processes if process.service == service]
        for attempt in range(CLIENT_ATTEMPTS):
            process = self.random.choice(replicas)
            try:
                return await process.call(method, request)
            except Rejected:
                raise
            except (SagaError, Died):
                await asyncio.sleep(self.random.uniform(0, min(1 + attempt / 20, 10)))
        raise TimeoutError(f"{service} did not respond")

    def committed(self, commit: Commit) -> None:
        """Check a commit."""
        self.problems += self._outboxes.committed(commit)
        self.problems += self.scenario.committed(commit)

    def published(self, name: str, topic: str, messages: Sequence[Message]) -> None:
        """Accept messages from a process."""
        if topic != self.topology.dead_letter_topic:
            self._outboxes.published(messages)
        if self.story is not None:
            for message in messages:
                self.story.message(name, "publishes", message)
        self.scenario.published(topic, messages)
        self.broker.publish(topic, messages)

    def delete_subscriptions(self, service: str) -> None:
        """Delete a service's subscriptions with all their messages, and make them again a while later."""
        for topic in self.topology.subscribed_topics(service):
            name = subscription_name(service, topic)
            if name in self.broker.queues and name not in self.at_least_once:
                self.tell(f"{service} 0", f"loses the subscription {name} with its messages")
                spec = self.broker.queues[name].spec
                self.broker.remove_subscription(name)
                loop = asyncio.get_running_loop()
                loop.call_later(self.faults.missing_seconds, self.broker.ensure_subscription, spec)

    def note_error(self, _: object, __: str, entry: MutableMapping[str, Any]) -> str:
        """Count an error that was logged as a problem (a structlog processor)."""
        last = str(entry.get("exception", "")).strip().rpartition("\n")[2]
        self.problems.append(f"logged: {entry['event']} {last}")
        return ""

    async def run(self) -> Outcome:
        """Run everything, from empty stores until every promise is kept, or time is up."""
        self._provision()
        for process in self.processes:
            process.start()
        await self.scenario.prepare()
        injected = (*self._injections(), *self.scenario.injections())
        injecting = [asyncio.create_task(each) for each in injected]
        clients = asyncio.gather(*(self._client(number) for number in range(self.sagas)))
        await asyncio.gather(clients, asyncio.sleep(MIN_FAULTY_SECONDS))
        for task in injecting:
            task.cancel()
        self.faults = self.faults.calm()
        self.problems += await self._settled()
        self.problems += self._broker_problems()
        for process in self.processes:
            process.kill()
        return self._finished()

    def _provision(self) -> None:
        topology, broker = self.topology, self.broker
        broker.topics |= dict.fromkeys([*topology.all_topics(), *topology.foreign_topics.values()])
        for spec in self.subscription_specs():
            broker.ensure_subscription(spec)

    def subscription_specs(self) -> list[SubscriptionSpec]:
        """Return the subscriptions of this world."""
        lease, attempts = self.simulation.lease_seconds, self.faults.delivery_attempts
        return [
            replace(spec, ack_deadline_seconds=lease, max_delivery_attempts=attempts)
            for spec in self.topology.subscription_specs()
        ]

    def _injections(self) -> list[Coroutine[Any, Any, None]]:
        return [self._kill_processes(), self._freeze_processes(), self._break_broker(), *injections(self)]

    async def _kill_processes(self) -> None:
        while self.faults.kills_per_minute:
            await asyncio.sleep(self.random.expovariate(self.faults.kills_per_minute / 60))
            self.reached["fault kills_per_minute"] += 1
            self.random.choice(self.processes).crash()

    async def _freeze_processes(self) -> None:
        while self.faults.freezes_per_minute:
            await asyncio.sleep(self.random.expovariate(self.faults.freezes_per_minute / 60))
            seconds = self.random.uniform(0, self.faults.frozen_seconds)
            self.reached["fault freezes_per_minute"] += 1
            self.random.choice(self.processes).freeze(seconds)

    async def _break_broker(self) -> None:
        def restore() -> None:
            self.broker.unavailable = False

        if self.faults.outage_seconds:
            await asyncio.sleep(self.random.uniform(0, MAX_OUTAGE_START_SECONDS))
            self.broker.unavailable = True
            self.reached["fault outage_seconds"] += 1
            self.tell("broker", f"is unavailable for {self.faults.outage_seconds:.0f} s")
            asyncio.get_running_loop().call_later(self.faults.outage_seconds, restore)

    async def _client(self, number: int) -> None:
        await asyncio.sleep(self.random.uniform(0, self.arrival_seconds))
        try:
            await self.scenario.client(number)
        except (SagaError, TimeoutError) as error:
            self.problems.append(f"client {number}: {error}")

    async def _settled(self) -> list[str]:
        """Wait until everything has settled; return what has not."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLE_SECONDS
        while True:
            await asyncio.sleep(CHECK_INTERVAL_SECONDS)
            is_late = loop.time() > deadline
            # To ask the scenario takes longer, and what it does then may have to settle, too.
            if is_late or self._is_quiet():
                found = [*await self.scenario.problems(), *self._outboxes.left(self.tables.rows)]
                if is_late or (not found and self._is_quiet()):
                    return found

    def _is_quiet(self) -> bool:
        is_busy = self.broker.in_flight or self.broker.unavailable
        return not is_busy and not self._outboxes.left(self.tables.rows)

    @property
    def dead_letters(self) -> Collection[Message]:
        """The dead letters that are in their subscription now."""
        return [message for message, _ in self.broker.queues[self.topology.dead_letter_subscription].waiting]

    def _broker_problems(self) -> list[str]:
        reasons = Counter(
            message.attributes.get("dead_letter_reason", "too many attempts")
            for message in self.dead_letters
            if not self.scenario.expects(message)
        )
        return [
            *self._outboxes.problems(),
            *(f"{count} dead letters: {reason}" for reason, count in reasons.items()),
        ]

    def _finished(self) -> Outcome:
        outcome, broker = self._outcome, self.broker
        outcome.counts, outcome.reached = self.counts, self.reached
        outcome.deliveries, outcome.lost = broker.delivered, broker.lost
        outcome.drains = sum(process.drains for process in self.processes)
        outcome.expired = Counter(key.kind for key in self.expired)
        outcome.kills = sum(process.kills for process in self.processes)
        entities = [(key, row.entity) for key, row in sorted(self.tables.rows.items())]
        trace = (asyncio.get_running_loop().time(), outcome.deliveries, outcome.kills, entities)
        outcome.digest = zlib.crc32(repr(trace).encode())
        return outcome
