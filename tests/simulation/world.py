"""A world of services, clients and misfortune; afterwards, whether everything is as it must be."""

import asyncio
import itertools
import logging
import zlib
from collections import Counter
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import structlog

from contract.topology import TOPICS
from rpc import purchase_pb2, stock_pb2
from sagactl.audit import problems, read_books
from sagactl.catalogue import CATALOGUE
from sagakit.errors import FailedPrecondition, SagaError
from sagakit.service import Kit, Service, ServiceFactory
from services.delivery.__main__ import build as build_delivery
from services.payment.__main__ import build as build_payment
from services.purchase.__main__ import build as build_purchase
from services.purchase.storage import TICKET
from services.stock.__main__ import build as build_stock
from tests.simulation.broker import SimBroker
from tests.simulation.loop import run
from tests.simulation.observer import Observer
from tests.simulation.process import Died, SimProcess
from tests.simulation.tables import SimDatabase, SimTables
from tests.simulation.weather import FAIR, Weather
from tests.support.ledger import differences

BUILD = {
    "purchase": build_purchase,
    "stock": build_stock,
    "payment": build_payment,
    "delivery": build_delivery,
}
REPLICAS = 2
ARRIVALS_SECONDS = 300.0
"""Over how long the orders of a world arrive."""
CALM_SECONDS = 2 * 3600.0
"""How long it may take until everything has come to rest, once the weather is fair again."""
CHECK_SECONDS = 30.0
MOST_PUBLISHED = 60
"""How often an event may be published: what a crash left is claimed with pauses that double."""
CLIENT_TRIES = 200
REPEATED = 0.1
"""After so many of the calls one that was made by then is made once more."""
CANCELED = 0.15
"""How many clients change their mind."""


@dataclass
class Outcome:
    """What became of a world."""

    seed: int
    sagas: int = 0
    problems: list[str] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    deliveries: int = 0
    digest: int = 0
    """The same for the same seed."""


def simulate(seed: int, sagas: int, weather: Weather, *, watch: bool = True) -> Outcome:
    """One world, from empty stores to its end; `watch`: whether whoever waits repeats its last word."""
    world = World(seed, sagas, weather, watch=watch)
    # Logs would be most of the work; what is logged as an error is a defect.
    structlog.configure(
        processors=[structlog.processors.format_exc_info, world.note_error],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.ReturnLoggerFactory(),
    )
    try:
        return run(world.live)
    finally:
        structlog.reset_defaults()


def built(service: str, *, watch: bool) -> ServiceFactory:
    """How a service is built; without the watch nobody is reminded of anything, the deadline included."""

    def build(kit: Kit) -> Service:
        made = BUILD[service](kit)
        return made if watch else replace(made, reminders={})

    return build


class World:
    def __init__(self, seed: int, sagas: int, weather: Weather, *, watch: bool) -> None:
        self._random = Random(seed)
        self._weather = weather
        self._sagas = sagas
        self._observer = Observer()
        self.database = SimDatabase(self._observer)
        self.broker = SimBroker(weather, self._random, self._observer)
        self.processes = {
            service: [
                SimProcess(
                    service, built(service, watch=watch), self.database, self.broker, weather, self._random
                )
                for _ in range(REPLICAS)
            ]
            for service in TOPICS
        }
        self._everybody = list(itertools.chain(*self.processes.values()))
        self._accepted: dict[str, Mapping[str, int]] = {}
        """The clients' own ledger: what each order is for, by its orderid."""
        self._errors: list[str] = []
        self._outcome = Outcome(seed, sagas)

    def note_error(self, _: object, __: str, entry: MutableMapping[str, Any]) -> str:
        last = str(entry.get("exception", "")).strip().rpartition("\n")[2]
        self._errors.append(f"logged: {entry['event']} {last}")
        return ""

    def _process(self, service: str, build: ServiceFactory) -> SimProcess:
        return SimProcess(service, build, self.database, self.broker, self._weather, self._random)

    async def live(self) -> Outcome:
        for process in self._everybody:
            process.start()
        await self._seed_catalogue()
        storm = [asyncio.create_task(each) for each in (self._kill_now_and_then(), self._outage())]
        await asyncio.gather(*(self._shop(number) for number in range(self._sagas)))
        for misfortune in storm:
            misfortune.cancel()
        self._clear_up()
        await self._come_to_rest()
        for process in self._everybody:
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
            await self._insist("stock", "PutItem", request)

    async def _kill_now_and_then(self) -> None:
        while self._weather.kills_per_minute:
            await asyncio.sleep(self._random.expovariate(self._weather.kills_per_minute / 60))
            process = self._random.choice(self._everybody)
            if process.alive:
                process.kill()
                self._outcome.kills += 1
                loop = asyncio.get_running_loop()
                loop.call_later(self._random.uniform(0, self._weather.down_seconds), process.start)

    async def _outage(self) -> None:
        if self._weather.outage_seconds:
            await asyncio.sleep(self._random.uniform(0, ARRIVALS_SECONDS))
            self.broker.away = True
            asyncio.get_running_loop().call_later(self._weather.outage_seconds, self._broker_is_back)

    def _broker_is_back(self) -> None:
        self.broker.away = False

    async def _shop(self, number: int) -> None:
        await asyncio.sleep(self._random.uniform(0, ARRIVALS_SECONDS))
        try:
            orderid = await self._order(f"cart-{number}", self._basket())
            if self._random.random() < CANCELED:
                await self._cancel(orderid)
        except (SagaError, TimeoutError) as error:
            self._errors.append(f"client {number}: {error}")

    async def _order(self, cartid: str, basket: Mapping[str, int]) -> str:
        """Every call is made until it is answered, and some again later: all are named."""
        calls = _calls(cartid, basket)
        answers = []
        for number, (method, request) in enumerate(calls):
            request.commandid = str(number)
            answers.append(await self._insist("purchase", method, request))
            await self._sometimes_repeat(calls[: number + 1], answers)
        orderid = str(answers[-1].order_ticket.orderid)
        self._accepted[orderid] = basket
        return orderid

    async def _sometimes_repeat(self, calls: Sequence[tuple[str, Any]], answers: Sequence[Any]) -> None:
        """Whoever repeats a call hears what was answered, and changes nothing."""
        if self._random.random() < REPEATED:
            number = self._random.randrange(len(calls))
            if await self._insist("purchase", *calls[number]) != answers[number]:
                self._errors.append(f"a repeated {calls[number][0]} was answered otherwise")

    def _basket(self) -> dict[str, int]:
        (first,) = self._random.choices(["blue", "red", "yellow", "gold"], [10, 5, 1, 1])
        itemids = [first, "blue"] if self._random.random() < 0.3 else [first]
        return {itemid: self._random.randint(1, 3) for itemid in itemids}

    async def _cancel(self, orderid: str) -> None:
        await asyncio.sleep(self._random.expovariate(5))
        try:
            await self._insist("purchase", "CancelOrder", purchase_pb2.CancelOrderRequest(orderid=orderid))
        except FailedPrecondition:
            self._outcome.ends["cancellation refused"] += 1

    async def _insist(self, service: str, method: str, request: Any) -> Any:
        """Call one replica after the other until one answers."""
        for _ in range(CLIENT_TRIES):
            process = self._random.choice(self.processes[service])
            try:
                return await process.call(method, request)
            except FailedPrecondition:
                raise
            except (SagaError, Died):
                await asyncio.sleep(self._random.uniform(0, 1))
        raise TimeoutError(f"{service} did not answer")

    def _clear_up(self) -> None:
        """From now on nothing goes wrong any more, and everybody is there."""
        self.broker.weather = FAIR
        for process in self._everybody:
            process.weather = FAIR

    async def _come_to_rest(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CALM_SECONDS
        tables = SimTables(self.database, self.broker, self._random)
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            books = await read_books(tables)
            found = problems(books)
            if (not found and not self.broker.in_flight) or loop.time() > deadline:
                break
        statuses = {orderid: order.ticket for orderid, order in books.orders.items()}
        self._outcome.ends.update(str(status) for status in statuses.values())
        self._outcome.problems = [
            *self._errors,
            *self._observer.problems,
            *found,
            *self._of_clients(),
            *self._of_broker(),
        ]
        self._outcome.deliveries = self.broker.delivered
        story = (loop.time(), self.broker.delivered, sorted(statuses.items()))
        self._outcome.digest = zlib.crc32(repr(story).encode())

    def _of_clients(self) -> list[str]:
        tickets = {
            orderid: {item["itemid"]: item["count"] for item in row.entity["items"]}
            for orderid, row in self.database.kinds.get(TICKET, {}).items()
        }
        return list(differences(self._accepted, tickets))

    def _of_broker(self) -> list[str]:
        often = [eventid for eventid, times in self.broker.published.items() if times > MOST_PUBLISHED]
        reasons = Counter(
            letter.attributes.get("dead_letter_reason", "too many attempts")
            for letter in self.broker.dead_letters
        )
        return [
            *(f"event {eventid} was published {self.broker.published[eventid]} times" for eventid in often),
            *(f"{count} dead letters: {reason}" for reason, count in reasons.items()),
        ]


def _calls(cartid: str, basket: Mapping[str, int]) -> list[tuple[str, Any]]:
    """What it takes to order that: names of RPCs, with their requests."""
    calls: list[tuple[str, Any]] = [("CreateCart", purchase_pb2.CreateCartRequest(cartid=cartid))]
    for itemid, count in basket.items():
        item = {"cartid": cartid, "itemid": itemid}
        # The third call changes nothing; made again after what follows, it is to change nothing either.
        calls += [("SetItem", purchase_pb2.SetItemRequest(**item, count=one)) for one in (9, 1, 1)]
        if count > 1:
            calls.append(("AddItem", purchase_pb2.AddItemRequest(**item, count=count - 1)))
    calls.append(("CloseCart", purchase_pb2.CloseCartRequest(cartid=cartid)))
    calls.append(("Checkout", purchase_pb2.CheckoutRequest(cartid=cartid)))
    return calls
