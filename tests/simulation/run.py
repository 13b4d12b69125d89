"""One simulation: services, clients and injected faults; afterwards, whether every promise was kept."""

import asyncio
import logging
import zlib
from collections import Counter
from collections.abc import Coroutine, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import structlog

from contract.topology import TOPOLOGY
from rpc import purchase_pb2, stock_pb2
from sagactl.cli.stock import CATALOGUE
from sagactl.inspect.audit import problems
from sagactl.inspect.records import Records, load_records
from sagakit.errors import FailedPrecondition, SagaError
from sagakit.service import Kit, Service, ServiceFactory
from services.delivery.__main__ import build as build_delivery
from services.payment.__main__ import build as build_payment
from services.purchase.__main__ import build as build_purchase
from services.purchase.storage import TICKET
from services.stock.__main__ import build as build_stock
from tests.simulation.broker import SimBroker
from tests.simulation.faults import FAULT_FREE, FaultRates
from tests.simulation.loop import run
from tests.simulation.observer import Observer
from tests.simulation.process import Died, SimProcess
from tests.simulation.tables import SimDatabase, SimTables
from tests.support.ledger import differences
from tests.support.newer_release import NewerRelease

BUILD = {
    "purchase": build_purchase,
    "stock": build_stock,
    "payment": build_payment,
    "delivery": build_delivery,
}
ARRIVAL_SECONDS = 300.0
"""Period over which the orders of a run arrive."""
SETTLE_SECONDS = 2 * 3600.0
"""Maximum time until everything has settled, once no more faults are injected."""
CHECK_INTERVAL_SECONDS = 30.0
MAX_PUBLISHED = 60
"""Maximum publications of one event: after a crash its row is claimed with exponential backoff."""
CLIENT_ATTEMPTS = 200
REPEATED = 0.1
"""Share of calls after which a client repeats one of its earlier calls."""
CANCELED = 0.25
"""Share of clients that cancel their order."""


@dataclass
class Outcome:
    """Result of a run."""

    seed: int
    sagas: int = 0
    problems: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    """Orders by their final status."""
    kills: int = 0
    deliveries: int = 0
    lost: int = 0
    """Messages that were delivered, and lost before they were acknowledged."""
    new_events: Counter[str] = field(default_factory=Counter)
    """Deliveries of events with a status that this version does not know, by what became of them."""
    digest: int = 0
    """Checksum of the run, equal for equal seeds."""


def simulate(seed: int, sagas: int, faults: FaultRates, *, reminders: bool = True) -> Outcome:
    """Run one simulation, from empty stores to the last final status. `reminders`: whether any are sent."""
    return play(Simulation(seed, sagas, faults, reminders=reminders))


def play(simulation: "Simulation") -> Outcome:
    """Run a simulation on virtual time."""
    # Logging would dominate the run time. An error that is logged is a bug.
    structlog.configure(
        processors=[structlog.processors.format_exc_info, simulation.note_error],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.ReturnLoggerFactory(),
    )
    try:
        return run(simulation.run)
    finally:
        structlog.reset_defaults()


def factory(service: str, *, reminders: bool) -> ServiceFactory:
    """Return the service's factory. Without `reminders` no deadline applies either."""

    def build(kit: Kit) -> Service:
        built = BUILD[service](kit)
        return built if reminders else replace(built, reminders={})

    return build


class Simulation:
    """Services, a database, a broker and clients on virtual time."""

    def __init__(self, seed: int, sagas: int, faults: FaultRates, *, reminders: bool) -> None:
        self._random = Random(seed)
        self._faults = faults
        self._sagas = sagas
        self._observer = Observer()
        self.database = SimDatabase(self._observer, mixed_versions=faults.mixed_versions)
        self.broker = SimBroker(faults, self._random, self._observer)
        newer = NewerRelease(self._random) if faults.mixed_versions else None
        self.processes = [
            SimProcess(
                service,
                factory(service, reminders=reminders),
                self.database,
                self.broker,
                faults,
                self._random,
                release,
            )
            for service in TOPOLOGY.topics
            for release in (None, newer)
        ]
        self._accepted: dict[str, Mapping[str, int]] = {}
        """The clients' own record: the items of each order, by its orderid."""
        self._errors: list[str] = []
        self._outcome = Outcome(seed, sagas)

    def note_error(self, _: object, __: str, entry: MutableMapping[str, Any]) -> str:
        last = str(entry.get("exception", "")).strip().rpartition("\n")[2]
        self._errors.append(f"logged: {entry['event']} {last}")
        return ""

    async def run(self) -> Outcome:
        for process in self.processes:
            process.start()
        await self._seed_catalogue()
        injecting = [asyncio.create_task(each) for each in self._injections()]
        await asyncio.gather(*(self._client(number) for number in range(self._sagas)))
        for task in injecting:
            task.cancel()
        self._end_faults()
        await self._settle()
        for process in self.processes:
            process.kill()
        return self._outcome

    async def _seed_catalogue(self) -> None:
        for item in CATALOGUE:
            request = stock_pb2.PutItemRequest(
                itemid=item.itemid,
                price=item.price,
                stock=min(item.stock, 2 * self._sagas // 3),
                waives_payment=item.waives_payment,
                only_if_absent=True,
                shards=item.shards,
            )
            await self._call("stock", "PutItem", request)

    def _injections(self) -> list[Coroutine[Any, Any, None]]:
        return [self._kill_processes(), self._break_broker()]

    async def _kill_processes(self) -> None:
        while self._faults.kills_per_minute:
            await asyncio.sleep(self._random.expovariate(self._faults.kills_per_minute / 60))
            self._random.choice(self.processes).crash()

    async def _break_broker(self) -> None:
        def restore() -> None:
            self.broker.unavailable = False

        if self._faults.outage_seconds:
            await asyncio.sleep(self._random.uniform(0, ARRIVAL_SECONDS))
            self.broker.unavailable = True
            asyncio.get_running_loop().call_later(self._faults.outage_seconds, restore)

    async def _client(self, number: int) -> None:
        await asyncio.sleep(self._random.uniform(0, ARRIVAL_SECONDS))
        try:
            orderid = await self._order(f"cart-{number}", self._basket())
            if self._random.random() < CANCELED:
                await self._cancel(orderid)
        except (SagaError, TimeoutError) as error:
            self._errors.append(f"client {number}: {error}")

    async def _order(self, cartid: str, basket: Mapping[str, int]) -> str:
        """Place an order. Each call has an idempotency key and is retried until it succeeds."""
        calls = _calls(cartid, basket)
        responses = []
        for number, (method, request) in enumerate(calls):
            request.commandid = str(number)
            responses.append(await self._call("purchase", method, request))
            await self._maybe_repeat(calls[: number + 1], responses)
        orderid = str(responses[-1].order_ticket.orderid)
        self._accepted[orderid] = basket
        return orderid

    async def _maybe_repeat(self, calls: Sequence[tuple[str, Any]], responses: Sequence[Any]) -> None:
        """Check that a repeated call returns the first response and changes nothing."""
        if self._random.random() < REPEATED:
            number = self._random.randrange(len(calls))
            if await self._call("purchase", *calls[number]) != responses[number]:
                self._errors.append(f"a repeated {calls[number][0]} returned another response")

    def _basket(self) -> dict[str, int]:
        (first,) = self._random.choices(["blue", "red", "yellow", "gold"], [10, 5, 1, 1])
        itemids = [first, "blue"] if self._random.random() < 0.3 else [first]
        return {itemid: self._random.randint(1, 3) for itemid in itemids}

    async def _cancel(self, orderid: str) -> None:
        # Soon, or when orders that no fault delayed are final.
        await asyncio.sleep(self._random.expovariate(self._random.choice([5, 0.5])))
        try:
            await self._call("purchase", "CancelOrder", purchase_pb2.CancelOrderRequest(orderid=orderid))
        except FailedPrecondition:
            self._outcome.statuses["cancellation rejected"] += 1

    async def _call(self, service: str, method: str, request: Any) -> Any:
        """Call replicas of the service at random until one succeeds. Raises TimeoutError if none does."""
        replicas = [process for process in self.processes if process.service == service]
        for _ in range(CLIENT_ATTEMPTS):
            process = self._random.choice(replicas)
            try:
                return await process.call(method, request)
            except FailedPrecondition:
                raise
            except (SagaError, Died):
                await asyncio.sleep(self._random.uniform(0, 1))
        raise TimeoutError(f"{service} did not respond")

    def _end_faults(self) -> None:
        self.broker.faults = FAULT_FREE
        for process in self.processes:
            process.faults = FAULT_FREE

    async def _settle(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLE_SECONDS
        tables = SimTables(self.database, self.processes[0], self._random)
        while True:
            await asyncio.sleep(CHECK_INTERVAL_SECONDS)
            records = await load_records(tables)
            found = await self._problems(records)
            if (not found and not self.broker.in_flight) or loop.time() > deadline:
                break
        statuses = {orderid: order.ticket for orderid, order in records.orders.items()}
        self._outcome.statuses.update(str(status) for status in statuses.values())
        others = (*found, *self._client_problems(), *self._broker_problems())
        self._outcome.problems = [*self._errors, *self._observer.problems, *others]
        self._outcome.deliveries = self.broker.delivered
        self._outcome.kills = sum(process.kills for process in self.processes)
        self._outcome.lost = self.broker.lost
        self._outcome.new_events = self._observer.new_events
        trace = (loop.time(), self.broker.delivered, sorted(statuses.items()))
        self._outcome.digest = zlib.crc32(repr(trace).encode())

    async def _problems(self, records: Records) -> list[str]:
        return problems(records)

    def _client_problems(self) -> list[str]:
        tickets = {
            orderid: {item["itemid"]: item["count"] for item in row.entity["items"]}
            for orderid, row in self.database.kinds.get(TICKET, {}).items()
        }
        return list(differences(self._accepted, tickets))

    def _broker_problems(self) -> list[str]:
        published = self.broker.published
        reasons = Counter(
            message.attributes.get("dead_letter_reason", "too many attempts")
            for message in self.broker.dead_letters
        )
        return [
            *(
                f"event {eventid} was published {n} times"
                for eventid, n in published.items()
                if n > MAX_PUBLISHED
            ),
            *(f"{count} dead letters: {reason}" for reason, count in reasons.items()),
        ]


def _calls(cartid: str, basket: Mapping[str, int]) -> list[tuple[str, Any]]:
    """Return the RPCs that order the basket: names, with their requests."""
    calls: list[tuple[str, Any]] = [("CreateCart", purchase_pb2.CreateCartRequest(cartid=cartid))]
    for itemid, count in basket.items():
        item = {"cartid": cartid, "itemid": itemid}
        # The third call changes nothing; repeated after a later call, it must not change anything either.
        calls += [("SetItem", purchase_pb2.SetItemRequest(**item, count=one)) for one in (9, 1, 1)]
        if count > 1:
            calls.append(("AddItem", purchase_pb2.AddItemRequest(**item, count=count - 1)))
    calls.append(("CloseCart", purchase_pb2.CloseCartRequest(cartid=cartid)))
    calls.append(("Checkout", purchase_pb2.CheckoutRequest(cartid=cartid)))
    return calls
