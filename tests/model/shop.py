"""The shop's services as pure functions: from records and an operation to what its next step leaves."""

from collections.abc import Collection, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, cast

from contract.reactions import handlers
from contract.shop import publishers
from contract.tickets import ORDER_TICKET
from contract.topology import TOPOLOGY
from sagakit.consumer import Handler
from sagakit.events import Event
from sagakit.reminders import Reminders, ReminderSchedule, RemindFn
from sagakit.side_effects import SideEffects
from sagakit.tables import Key, Row
from services.delivery import usecases as delivery
from services.payment import usecases as payment
from services.payment.simulated import SimulatedProvider
from services.payment.storage import PAYMENT
from services.purchase import usecases as purchase
from services.purchase.storage import TICKET
from services.purchase.ticket import REPORTS
from services.stock import usecases as stock
from services.stock.shards import ShardHints
from services.stock.storage import RESERVATION
from tests.model.steps import NOW, Left, Process, Records, SteppedProvider

SERVICES = ("purchase", "stock", "payment", "delivery")
REACTS_TO: Mapping[str, Collection[str]] = {
    "purchase": REPORTS,
    "stock": stock.REACTIONS,
    "payment": payment.REACTIONS,
    "delivery": delivery.REACTIONS,
}
"""The statuses that each service does not ignore."""
PUBLISHERS = publishers(TOPOLOGY.topics[service] for service in SERVICES)
LIMIT = 1000
"""The highest amount that the payment provider charges."""
DEADLINE_SECONDS = 1e6
SCHEDULE = ReminderSchedule(10)


@dataclass(frozen=True, slots=True)
class Message:
    """A message in a subscription."""

    publisher: str
    subscriber: str
    orderid: str
    status: str
    body: bytes
    attributes: frozenset[tuple[str, str]]
    """Without `time`."""

    def __str__(self) -> str:
        reminder = ", a reminder," if "again" in dict(self.attributes) else ""
        return f"{self.subscriber} receives {self.publisher}'s {self.status}{reminder} of {self.orderid}"


@dataclass(frozen=True, slots=True)
class Remind:
    """A sweeper has found an entity that is due; `late`: its order's deadline has passed as well."""

    service: str
    key: Key
    late: bool = False

    def __str__(self) -> str:
        what = "cancels at the deadline" if self.late else "sends a reminder"
        return f"{self.service} {what}: {self.key.name}"


@dataclass(frozen=True, slots=True)
class Cancel:
    """The client cancels an order."""

    orderid: str

    def __str__(self) -> str:
        return f"the client cancels {self.orderid}"


@dataclass(frozen=True, slots=True)
class Resume:
    """A reminder has scheduled a side effect whose outcome is not recorded."""

    service: str
    name: str

    def __str__(self) -> str:
        return f"{self.service} repeats its side effect: {self.name}"


Operation = Message | Remind | Resume | Cancel


@dataclass(frozen=True, slots=True)
class Service:
    """A service of one process, wired as by its composition root."""

    handlers: Mapping[str, Handler]
    remind: Mapping[str, RemindFn]
    usecases: Any


def wired(service: str, process: Process) -> Service:
    """Return a service whose use cases run step by step."""
    given: Any = (process.store, process.inbox, process.runtime)
    match service:
        case "purchase":
            tickets = purchase.UseCases(*given, SCHEDULE, DEADLINE_SECONDS, 3600)
            return Service(tickets.handlers(PUBLISHERS), {TICKET: tickets.remind}, tickets)
        case "stock":
            reservations = stock.UseCases(*given, SCHEDULE, ShardHints())
            return Service(
                handlers(stock.REACTIONS, reservations, PUBLISHERS),
                {RESERVATION: reservations.remind},
                reservations,
            )
        case "payment":
            provider = SimulatedProvider(process.tables, process.runtime, LIMIT)
            charges = payment.UseCases(*given, SCHEDULE, SteppedProvider(provider, process.steps))
            charges.side_effects = cast("SideEffects", process)
            return Service(
                handlers(payment.REACTIONS, charges, PUBLISHERS),
                {PAYMENT: charges.remind},
                charges,
            )
        case "delivery":
            shipments = delivery.UseCases(*given)
            return Service(handlers(delivery.REACTIONS, shipments, PUBLISHERS), {}, shipments)
    raise ValueError(service)


def service_of(operation: Operation) -> str:
    match operation:
        case Message():
            return operation.subscriber
        case Remind() | Resume():
            return operation.service
        case Cancel():
            return "purchase"


def run_step(operation: Operation, records: Records, log: tuple[Any, ...]) -> Left:
    """Run the next step of an operation in a process of its own. Raises what the operation raises."""
    now = NOW
    if isinstance(operation, Remind):
        now += 2 * DEADLINE_SECONDS if operation.late else 2
    process = Process(records, log, now)
    return process.run(_started(operation, wired(service_of(operation), process), process, records))


def _started(
    operation: Operation, service: Service, process: Process, records: Records
) -> Coroutine[Any, Any, Any]:
    match operation:
        case Message():
            attributes, topic = dict(operation.attributes), TOPOLOGY.topics[operation.publisher]
            event = Event(process.runtime.new_id(), ORDER_TICKET, operation.body, attributes, topic=topic)
            return service.handlers[ORDER_TICKET](event)  # type: ignore[return-value]
        case Remind(_, key):
            reminders = Reminders(process.store, service.remind[key.kind], process.runtime, lambda: False)
            return reminders.claim(key, Row(records[key], 0))
        case Resume(_, name):
            return service.usecases.resume(name)  # type: ignore[no-any-return]
        case Cancel(orderid):
            return service.usecases.cancel_order(orderid)  # type: ignore[no-any-return]
