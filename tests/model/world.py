"""Everything that can happen to the orders of a shop: deliveries, losses, reminders, cancellations, crashes.

What is left out, and why nothing is lost by it:

- Messages are a set, and delivering one does not remove it. So it may be delivered again, late, and in any
  order, always with an eventid of its own: the inbox, which rejects duplicates, is not relied upon.
- Only all messages are lost at once. A state with fewer messages allows less, so losing some of them reaches
  no other records, and an end that can be reached without any message can be reached with some.
- Reminders are not counted and time does not pass: what is due may happen at any moment, any number of times.
- A transaction is one step, although its commit checks only the versions of what it writes. Stock alone
  decides about something that it reads and does not write, when it rejects an order because its shards have
  too few units. Whatever else is decided about that order writes its reservation and makes the commit fail.
  So the rejection is as good as committed when the shards were read.
- A provider that does not answer is a process that dies: payment changes nothing then, and the event is
  redelivered.
- Outbox rows are messages at once; that they are published is the kit's promise. Nothing expires, no item
  changes.
- Orders meet only in the shards of an item, so two that waive payment show all that one can do to another.

What is bounded: of each service, at most `max_running` operations are between two steps; further ones wait,
as behind a flow-control limit. Payment alone has operations of several steps. That a third one at a time
reaches something new is not excluded by this; docs/reliability.md has the figures with three.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from contract.tickets import TicketMessage
from contract.topology import TOPOLOGY
from sagakit.errors import FailedPrecondition
from sagakit.events import Event
from sagakit.store import Changes
from sagakit.tables import DUE, Entity, Key
from services.purchase.storage import TICKET
from tests.model.shop import (
    REACTS_TO,
    SERVICES,
    Cancel,
    Message,
    Operation,
    Remind,
    Resume,
    run_step,
    service_of,
)
from tests.model.steps import Left, Records

T = TypeVar("T")


class Interned(Generic[T]):
    """Values with small numbers, equal ones once."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self.values: list[T] = []

    def number(self, value: T, key: Hashable) -> int:
        number = self._numbers.setdefault(key, len(self.values))
        if number == len(self.values):
            self.values.append(value)
        return number


class State(NamedTuple):
    """A state of the world, in numbers."""

    records: tuple[int, ...]
    """Of each service."""
    running: tuple[int, ...]
    """Operations between two of their steps, sorted."""
    messages: int
    """Bit set of the messages in the subscriptions, each of which may be delivered any number of times."""
    answers: int
    """Bit set of the answers that participants have given so far."""


class Step(NamedTuple):
    """The effect of an operation's next step."""

    records: int
    running: int | None
    """The operation, if it has further steps."""
    messages: int
    answers: int


class Edge(NamedTuple):
    """A transition: what happens, the state it leads to, and whether it must happen some day."""

    what: str
    to: State
    fair: bool


class World:
    """The services, with everything that can happen to them; steps that were tried before are remembered."""

    def __init__(self, max_running: int, loses_each: bool) -> None:
        """`max_running`: how many operations of a service may be between two steps at a time.

        `loses_each`: messages are lost one by one, too; that takes many more states.
        """
        self._max_running = max_running
        self._loses_each = loses_each
        self._records: Interned[Records] = Interned()
        self._messages: Interned[Message] = Interned()
        self._answers: Interned[tuple[str, str, str]] = Interned()
        self._operations: Interned[tuple[Operation, tuple[Any, ...]]] = Interned()
        self._steps: dict[tuple[int, int], Step | None] = {}
        self._own: dict[tuple[int, int], list[int]] = {}

    def start(self, records: Mapping[str, Records], published: Sequence[Event]) -> State:
        """Return the state with those records of each service, and with what purchase has published."""
        numbers = tuple(self._number(records[service]) for service in SERVICES)
        return State(numbers, (), self._published("purchase", published)[0], 0)

    def records(self, state: State) -> dict[Key, Entity]:
        """Return the records of all services."""
        found: dict[Key, Entity] = {}
        for number in state.records:
            found.update(self._records.values[number])
        return found

    def answers(self, state: State) -> list[tuple[str, str, str]]:
        """Return the answers given so far: service, orderid, status."""
        return [self._answers.values[bit] for bit in _bits(state.answers)]

    def edges(self, state: State) -> Iterator[Edge]:
        """Yield everything that can happen next."""
        for bit in _bits(state.messages):
            message = self._messages.values[bit]
            yield from self._run(state, self._operation(message), fair=True)
            if self._loses_each:
                yield Edge(f"lost: {message}", state._replace(messages=state.messages ^ 1 << bit), fair=False)
        if state.messages:
            yield Edge("every message is lost", state._replace(messages=0), fair=False)
        for number in dict.fromkeys(state.running):
            left = list(state.running)
            left.remove(number)
            rest = state._replace(running=tuple(left))
            yield from self._run(rest, number, fair=True, is_running=True)
            what = self._operations.values[number][0]
            yield Edge(f"the process dies: {what}", rest, fair=False)
        for index, records in enumerate(state.records):
            for number in self._own_operations(index, records):
                operation = self._operations.values[number][0]
                fair = isinstance(operation, Remind) and not operation.late
                yield from self._run(state, number, fair=fair)

    def _run(self, state: State, number: int, *, fair: bool, is_running: bool = False) -> Iterator[Edge]:
        operation, log = self._operations.values[number]
        index = SERVICES.index(service_of(operation))
        step = self._step(number, state.records[index])
        if step is None:
            return
        running = state.running
        if step.running is not None:
            if self._is_busy(running, index):
                return
            running = tuple(sorted((*running, step.running)))
        records = (*state.records[:index], step.records, *state.records[index + 1 :])
        after = State(records, running, state.messages | step.messages, state.answers | step.answers)
        if is_running or after != state:
            yield Edge(f"{operation}{f', step {len(log) + 1}' if log else ''}", after, fair)

    def _is_busy(self, running: tuple[int, ...], index: int) -> bool:
        operations = self._operations.values
        mine = sum(SERVICES.index(service_of(operations[number][0])) == index for number in running)
        return mine >= self._max_running

    def _step(self, number: int, records: int) -> Step | None:
        """Return what the next step leaves; None: the operation is rejected."""
        if (number, records) not in self._steps:
            operation, log = self._operations.values[number]
            try:
                left = run_step(operation, self._records.values[records], log)
            except FailedPrecondition:
                self._steps[number, records] = None
            else:
                self._steps[number, records] = self._left(operation, left)
        return self._steps[number, records]

    def _left(self, operation: Operation, left: Left) -> Step:
        messages, answers = self._published(service_of(operation), left.published)
        running = None if left.log is None else self._operation(operation, left.log)
        if left.scheduled is not None:
            running = self._operation(Resume(service_of(operation), left.scheduled))
        return Step(self._number(left.records), running, messages, answers)

    def _operation(self, operation: Operation, log: tuple[Any, ...] = ()) -> int:
        return self._operations.number((operation, log), (operation, tuple(map(_described, log))))

    def _number(self, records: Records) -> int:
        return self._records.number(records, frozen(records))

    def _own_operations(self, index: int, records: int) -> list[int]:
        """Return what a service's records cause without a message: reminders, deadlines, cancellations."""
        if (index, records) not in self._own:
            operations: list[Operation] = []
            for key, entity in self._records.values[records].items():
                if entity.get(DUE) is not None:
                    operations.append(Remind(SERVICES[index], key))
                if key.kind == TICKET:
                    operations += [Cancel(key.name), Remind(SERVICES[index], key, late=True)]
            self._own[index, records] = [self._operation(each) for each in operations]
        return self._own[index, records]

    def _published(self, service: str, events: Sequence[Event]) -> tuple[int, int]:
        """Return the messages in which subscribers receive these events, and the answers in them."""
        messages = answers = 0
        for event in events:
            ticket = TicketMessage.from_event(event)
            attributes = frozenset(item for item in event.attributes.items() if item[0] != "time")
            for subscriber, statuses in REACTS_TO.items():
                if service in TOPOLOGY.service(subscriber).subscribes_to and ticket.status in statuses:
                    message = Message(
                        service, subscriber, ticket.orderid, ticket.status, event.body, attributes
                    )
                    messages |= 1 << self._messages.number(message, message)
            if service in {"stock", "payment"}:
                answer = (service, ticket.orderid, ticket.status)
                answers |= 1 << self._answers.number(answer, answer)
        return messages, answers


def _described(result: Any) -> Hashable:
    return frozen(result.result if isinstance(result, Changes) else result)


def _bits(mask: int) -> Iterator[int]:
    """Yield the numbers of the bits that are set."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def frozen(value: Any) -> Hashable:
    """Return a stored value as something that can be compared and hashed."""
    if isinstance(value, Mapping):
        return tuple(sorted((name, frozen(each)) for name, each in value.items()))
    if isinstance(value, list | tuple):
        return tuple(map(frozen, value))
    return value  # type: ignore[no-any-return]
