"""The shop in a simulation: its clients, and what they and the audit must find in the end."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from contract.reactions import NOT_PUBLISHED_BY
from contract.tickets import (
    FAILED,
    PAID,
    PAYMENT_FAILED,
    PRE_APPROVED,
    RESERVED,
    TicketMessage,
    ticket_event,
)
from contract.topology import TOPOLOGY
from rpc import purchase_pb2
from sagactl.inspect.audit import problems
from sagactl.inspect.records import Records, load_records
from sagakit.backends import Backend
from sagakit.bus import Message
from sagakit.errors import FailedPrecondition, NotFound
from sagakit.events import Event
from sagakit.tables import Update
from sagakit.testing.backends import Commit
from sagakit.testing.defects import POISONED
from sagakit.testing.outboxes import MAX_CLAIM_SKEW_SECONDS
from sagakit.testing.process import SimulatedProcess
from sagakit.testing.scenario import Outcome, Scenario
from sagakit.testing.simulation import Simulation
from sagakit.testing.world import World
from services.purchase.storage import CART, TICKET, to_ticket
from tests.simulation.faults import ShopFaults
from tests.simulation.habits import USUAL, Habits, Shopkeeper
from tests.simulation.observer import Observer
from tests.simulation.operator import Operator
from tests.simulation.reached import Places
from tests.simulation.recorded import RecordedCalls
from tests.simulation.releases import observed
from tests.simulation.visitors import Visitors
from tests.support.ledger import differences
from tests.support.newer_release import NEW_STATUS, NewerRelease, lost_properties
from tests.support.suite import BUILDERS

MAX_LATE_SECONDS = 240.0
"""How long after a call a client repeats it at most: `OPERATED` remembers idempotency keys for 360 s."""
FORGED = "forged-"

Calls = Sequence[tuple[str, Any]]
"""Names of RPCs, with their requests."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A client's call that was answered."""

    method: str
    request: Any
    response: Any
    called_at: float


def shop(
    faults: ShopFaults, *, reminders: bool = True, scenario: "Callable[[World], Shop] | None" = None
) -> Simulation:
    """Return the simulation of the shop. Without `reminders` no deadline applies either."""
    simulation = Simulation(TOPOLOGY, BUILDERS, scenario or Shop, faults)
    return simulation if reminders else simulation.without_reminders()


def simulate(seed: int, sagas: int, faults: ShopFaults, *, reminders: bool = True) -> Outcome:
    """Run one simulation, from empty stores to the last final status."""
    return shop(faults, reminders=reminders).run(seed, sagas)


class Shop(Scenario):
    """Clients that fill carts, check out, repeat calls and cancel."""

    def __init__(self, world: World, habits: Habits = USUAL) -> None:
        super().__init__(world)
        self._habits = habits
        self._shopkeeper = Shopkeeper(world, habits)
        self._places = Places(world.reached, world.tables.rows)
        clocks_agree = world.faults.skew_seconds <= MAX_CLAIM_SKEW_SECONDS
        self.observer = Observer(self._places, counts_reminders=clocks_agree)
        world.reached["fault mixed_versions"] += cast("ShopFaults", world.faults).mixed_versions
        self._faults = cast("ShopFaults", world.faults)
        self._newer = NewerRelease(world.random) if self._faults.mixed_versions else None
        self._recorded = RecordedCalls(world)
        self._call = self._recorded.call
        self._accepted: dict[str, Mapping[str, int]] = {}
        """The clients' own record: the items of each order, by its orderid."""
        self._rejected = 0
        """Cancellations that came too late."""
        self.operator = Operator(world)
        self.visitors = Visitors(world) if self._faults.through_gateway else None

    def connect(self, process: SimulatedProcess, backend: Backend) -> Backend:
        """Every other replica is of the newer release; a rolling restart brings the other one, or it back."""
        is_newer = (process.replica + process.drains) % 2
        return observed(backend, process.service, self.observer, self._newer if is_newer else None)

    async def prepare(self) -> None:
        await self._shopkeeper.offer()
        if self.visitors is not None:
            self.visitors.start()

    def injections(self) -> Sequence[Coroutine[Any, Any, None]]:
        restarts = self._faults.gateway_restarts_per_minute
        return [
            *([self.visitors.restart_at_times(restarts)] if self.visitors is not None else []),
            self._shopkeeper.change_items(),
            self._shopkeeper.disturb_provider(),
            self.operator.redrive_at_times(self._faults.redrives_per_minute),
            self.operator.provision_at_times(self._faults.provisions_per_minute),
        ]

    def describe(self) -> str:
        return str(self._habits)

    async def client(self, number: int) -> None:
        try:
            await self._buy(number)
        except NotFound:
            # Where months pass in minutes, the cart may expire while no call gets through.
            if not self._recorded.has_expired(f"cart-{number}"):
                raise

    async def _buy(self, number: int) -> None:
        basket = self._habits.basket(self.world.random)
        if self.visitors is not None and self.world.fails("through_gateway"):
            orderid, basket = await self.visitors.order(f"cart-{number}", basket)
            self._accepted[orderid] = basket
            await self.visitors.follow(orderid)
            return
        calls = _calls(f"cart-{number}", basket)
        if self.world.happens(self._habits.abandoned):
            calls[0][1].commandid = "0"
            await self._call(*calls[0])
            return
        answered: list[Answered] = []
        orderid = await self._order(basket, calls, answered)
        if self.world.happens(self._habits.canceled):
            await self._cancel(orderid)
        if self.world.fails("late_repeats"):
            await asyncio.sleep(self.world.random.uniform(0, MAX_LATE_SECONDS / 2))
            await self._repeat(answered)

    def committed(self, commit: Commit) -> Iterable[str]:
        self._places.committed(commit)
        self._contradict(commit)
        if self.visitors is not None:
            self.visitors.committed(commit)
        self.observer.committed(commit.mutations)
        found, self.observer.problems = self.observer.problems, []
        yield from found
        for each in commit.mutations if self._newer is not None else ():
            before = commit.before.get(each.key)
            lost = isinstance(each, Update) and before and lost_properties(before.entity, each.entity)
            # The properties of an item that was removed from its cart are gone with it.
            removed = (
                len(before.entity["items"]) - len(each.entity["items"])
                if lost and each.key.kind == CART
                else 0
            )
            if lost > removed:
                yield f"{each.key}: a rewrite lost {lost} properties of a newer release"

    def published(self, topic: str, messages: Sequence[Message]) -> None:
        """Forge a report about each new order, now and then, which only payment may publish."""
        if topic == TOPOLOGY.dead_letter_topic:
            self.observer.dead_lettered(messages)
        if topic == TOPOLOGY.topics["purchase"] and self.world.faults == self._faults:
            forged = [*filter(None, map(self._forge, messages))]
            self.world.broker.publish(TOPOLOGY.topics["delivery"], forged)

    def expects(self, dead_letter: Message) -> bool:
        """Forgeries are rejected, and this version's operator cannot verify a newer one's status."""
        if NEW_STATUS.encode() in dead_letter.data:
            return True
        attributes = dead_letter.attributes
        reason = attributes.get("dead_letter_reason", "")
        is_forged = attributes.get("eventid", "").startswith(FORGED)
        return is_forged and (reason.startswith(NOT_PUBLISHED_BY) or reason in {POISONED, ""})

    async def problems(self) -> Iterable[str]:
        records = await load_records(self.world.connect("audit").tables)
        statuses = Counter(str(order.ticket) for order in records.orders.values())
        rejected = Counter({"cancellation rejected": self._rejected})
        unverified = await self.operator.redrive() if self._faults.redrives_per_minute else []
        self.world.counts = statuses + rejected + self.observer.new_events + self.operator.redriven
        unseen = await self.visitors.problems() if self.visitors is not None else []
        of_clients = [*self.client_problems(), *self.history_problems()]
        return [*await self.record_problems(records), *of_clients, *unverified, *unseen]

    async def record_problems(self, records: Records) -> list[str]:
        """Return what is wrong in the records of the services."""
        return problems(records)

    def client_problems(self) -> list[str]:
        """Return what clients miss."""
        tickets = {
            orderid: {item["itemid"]: item["count"] for item in entity["items"]}
            for orderid, entity in self.world.tables.kind(TICKET).items()
        }
        return list(differences(self._accepted, tickets))

    def history_problems(self) -> Iterable[str]:
        """Return what was wrong in the answers that clients got."""
        return self._recorded.problems()

    def _forge(self, message: Message) -> Message | None:
        ticket = TicketMessage.from_event(Event.from_message(message))
        if ticket.status != PRE_APPROVED or not self.world.fails("forged"):
            return None
        forged = replace(ticket, status=self.world.random.choice([PAID, PAYMENT_FAILED]))
        return forged.to_event(f"{FORGED}{self.world.random.getrandbits(64)}", {}).to_message()

    def _contradict(self, commit: Commit) -> None:
        """Let stock answer about an order that has just failed, now and then."""
        for each in commit.mutations if self._faults.contradicted else ():
            before = commit.before.get(each.key)
            if not isinstance(each, Update) or each.key.kind != TICKET or before is None:
                continue
            if before.entity["status"] == each.entity["status"] or each.entity["status"] not in FAILED:
                continue
            if self.world.fails("contradicted"):
                ticket = to_ticket(each.key.name, each.entity)
                status = self.world.random.choice([RESERVED, PAID])
                message = TicketMessage(ticket.orderid, status, ticket.items, 100)
                eventid = f"{FORGED}{self.world.new_id()}"
                event = ticket_event(message, eventid, self.world.now())
                self._places.published(event.eventid, ticket.orderid, status)
                self.world.broker.publish(TOPOLOGY.topics["stock"], [event.to_message()])

    async def _order(self, basket: Mapping[str, int], calls: Calls, answered: list[Answered]) -> str:
        """Place an order, and note each response. Each call is retried until it succeeds."""
        for number, (method, request) in enumerate(calls):
            request.commandid = str(number)
            answered.append(await self._answer(method, request))
            if self.world.happens(self._habits.repeated):
                await self._repeat(answered)
        orderid = str(answered[-1].response.order_ticket.orderid)
        self._accepted[orderid] = basket
        return orderid

    async def _answer(self, method: str, request: Any) -> Answered:
        called_at = asyncio.get_running_loop().time()
        return Answered(method, request, await self._call(method, request), called_at)

    async def _repeat(self, answered: Sequence[Answered]) -> None:
        """Check that one of the calls, repeated, returns the first response and changes nothing."""
        earliest = asyncio.get_running_loop().time() - MAX_LATE_SECONDS
        remembered = [each for each in answered if each.called_at > earliest]
        if not remembered:
            return
        first = self.world.random.choice(remembered)
        self.world.reached[f"{first.method} is repeated"] += 1
        if await self._call(first.method, first.request) != first.response:
            self.world.problems.append(f"a repeated {first.method} returned another response")

    async def _cancel(self, orderid: str) -> None:
        # Soon, or when orders that no fault delayed are final.
        await asyncio.sleep(self.world.random.expovariate(self.world.random.choice([5, 0.5])))
        request = purchase_pb2.CancelOrderRequest(orderid=orderid, commandid="cancel")
        try:
            answered = await self._answer("CancelOrder", request)
        except FailedPrecondition:
            self._rejected += 1
        else:
            if self.world.happens(self._habits.repeated):
                await self._repeat([answered])


def _calls(cartid: str, basket: Mapping[str, int]) -> Calls:
    """Return the RPCs that order the basket: names, with their requests."""
    calls: list[tuple[str, Any]] = [("CreateCart", purchase_pb2.CreateCartRequest(cartid=cartid))]
    unwanted = {"cartid": cartid, "itemid": "unwanted"}
    calls.append(("AddItem", purchase_pb2.AddItemRequest(**unwanted, count=1)))
    calls.append(("RemoveItem", purchase_pb2.RemoveItemRequest(**unwanted)))
    for number, (itemid, count) in enumerate(basket.items()):
        item = {"cartid": cartid, "itemid": itemid}
        # The third call changes nothing; repeated after a later call, it must not change anything either.
        counts = (1,) if number else (9, 1, 1)
        calls += [("SetItem", purchase_pb2.SetItemRequest(**item, count=one)) for one in counts]
        if count > 1:
            calls.append(("AddItem", purchase_pb2.AddItemRequest(**item, count=count - 1)))
    calls.append(("CloseCart", purchase_pb2.CloseCartRequest(cartid=cartid)))
    calls.append(("Checkout", purchase_pb2.CheckoutRequest(cartid=cartid)))
    return calls
