"""Planted bugs: each is a mistake that systems like this one have made, and the simulation must find it.

Most are planted at public seams: the simulated tables and broker, or the kit's public methods. The rest
reach into private attributes of the store and of the payment provider, which have no seam in that place.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from contract.reactions import Reaction
from contract.tickets import APPROVED, CANCELED, PAID, TicketMessage
from contract.topology import TOPICS
from sagakit.consumer import Outcome
from sagakit.errors import Contention, Unavailable
from sagakit.events import Event
from sagakit.inbox import Inbox
from sagakit.outbox import Outbox
from sagakit.reminders import ReminderSchedule
from sagakit.sweeper import Sweeper
from sagakit.tables import DUE, Delete, Insert, Key, Mutation, Row, Update
from services.payment import simulated
from services.payment.simulated import LEDGER
from services.payment.storage import PAYMENT
from services.purchase.commands import IdempotentCommands
from services.purchase.ticket import TRANSITIONS, Transition
from services.stock import usecases as stock_usecases
from services.stock.inventory import REFUSED, RELEASED
from services.stock.storage import RESERVATION, reservation_key
from services.stock.usecases import UseCases as Stock
from tests.simulation.broker import SimBus, SimDelivery, SimPull
from tests.simulation.faults import NO_MESSAGE_LOSS, UNRELIABLE, FaultRates
from tests.simulation.observer import OUTBOXES
from tests.simulation.tables import SimDatabase, SimTables

Plant = Callable[[], "Iterator[None]"]


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug, and the conditions under which it shows."""

    name: str
    plant: Callable[[], Any]
    """Returns a context manager; the bug is present inside."""
    faults: FaultRates
    reminders: bool
    """False: reminders, which would repair the damage, are off; then the broker must lose no message."""


BUGS: list[Bug] = []


def bug(*, faults: FaultRates = UNRELIABLE, reminders: bool = True) -> Callable[[Plant], Plant]:
    def register(plant: Plant) -> Plant:
        BUGS.append(Bug(plant.__name__, contextmanager(plant), faults, reminders))
        return plant

    return register


@bug()
def inbox_rows_are_not_written() -> Iterator[None]:
    with patch.object(Inbox, "once", lambda self, name, decide, **_: decide):
        yield


@bug(faults=NO_MESSAGE_LOSS, reminders=False)
def the_inbox_row_is_committed_before_the_changes() -> Iterator[None]:
    async def commit(self: SimTables, mutations: Sequence[Mutation]) -> None:
        recorded = [each for each in mutations if each.key.kind.endswith("ReceivedEvent")]
        if recorded:
            await original(self, recorded)
        await original(self, [each for each in mutations if each not in recorded])

    original = SimTables.commit
    with patch.object(SimTables, "commit", commit):
        yield


class AcknowledgedDelivery:
    """A delivery that was acknowledged at once: settling it later has no effect."""

    def __init__(self, delivery: SimDelivery) -> None:
        self.message = delivery.message
        self.attempt = delivery.attempt
        delivery.ack()

    def ack(self) -> None: ...

    def nack(self) -> None: ...


@bug(faults=NO_MESSAGE_LOSS, reminders=False)
def events_are_acknowledged_before_the_commit() -> Iterator[None]:
    def deliver(self: SimPull, delivery: SimDelivery) -> None:
        original(self, AcknowledgedDelivery(delivery))

    original: Any = SimPull.deliver
    with patch.object(SimPull, "deliver", deliver):
        yield


@bug(faults=NO_MESSAGE_LOSS, reminders=False)
def errors_are_acknowledged() -> Iterator[None]:
    """An exception is swallowed, so that the broker takes the event for processed."""
    with patch.object(SimDelivery, "nack", SimDelivery.ack):
        yield


@bug()
def events_are_published_before_the_commit() -> Iterator[None]:
    async def commit(self: SimTables, mutations: Sequence[Mutation]) -> None:
        for each in mutations:
            if isinstance(each, Insert) and each.key.kind in OUTBOXES:
                row = each.entity
                event = Event(each.key.name, row["type"], row["body"], row["attributes"])
                self.process.broker.publish(TOPICS[OUTBOXES[each.key.kind]], [event.to_message()])
        await original(self, mutations)

    original = SimTables.commit
    with patch.object(SimTables, "commit", commit):
        yield


@bug()
def versions_are_not_checked() -> Iterator[None]:
    """Stock is read outside the transaction that writes it."""
    with patch.object(SimDatabase, "checks_versions", False):
        yield


@bug()
def a_conflict_is_taken_for_already_applied() -> Iterator[None]:
    async def commit(self: SimTables, mutations: Sequence[Mutation]) -> None:
        with suppress(Contention):
            await original(self, mutations)

    original = SimTables.commit
    with patch.object(SimTables, "commit", commit):
        yield


@bug(faults=NO_MESSAGE_LOSS, reminders=False)
def the_relay_only_publishes_after_the_commit() -> Iterator[None]:
    """Nothing sweeps the outbox, so that a crash strands events for ever."""

    async def run(_: Sweeper) -> None:
        await asyncio.Event().wait()

    with patch.object(Sweeper, "run", run):
        yield


@bug(faults=NO_MESSAGE_LOSS, reminders=False)
def outbox_rows_are_deleted_before_the_broker_responds() -> Iterator[None]:
    background: set[Any] = set()

    async def ignore_failure(publishing: Any) -> None:
        with suppress(Unavailable):
            await publishing

    async def publish(self: SimBus, topic: str, messages: Any) -> None:
        task = asyncio.create_task(ignore_failure(original(self, topic, messages)))
        background.add(task)
        task.add_done_callback(background.discard)

    original = SimBus.publish
    with patch.object(SimBus, "publish", publish):
        yield


@bug(faults=replace(UNRELIABLE, outage_seconds=600))
def a_claim_does_not_change_due() -> Iterator[None]:
    def claim(self: Outbox, key: Key, row: Row) -> Update:
        return Update(
            key, {**row.entity, "claims": row.entity["claims"] + 1, DUE: row.entity[DUE]}, row.version
        )

    with patch.object(Outbox, "claim", claim):
        yield


@bug(faults=replace(UNRELIABLE, outage_seconds=900))
def reminders_do_not_back_off() -> Iterator[None]:
    with patch.object(ReminderSchedule, "next_at", lambda self, now, repeats: now + 1):
        yield


@bug(faults=replace(UNRELIABLE, dropped=0.1), reminders=False)
def reminders_are_missing() -> Iterator[None]:
    yield


@bug(faults=replace(UNRELIABLE, dropped=0.1))
def a_failed_ticket_does_not_answer_late_reports() -> Iterator[None]:
    with patch.dict(TRANSITIONS[CANCELED], clear=True):
        yield


@bug()
def paid_approves_a_failed_ticket() -> Iterator[None]:
    with patch.dict(TRANSITIONS[CANCELED], {PAID: Transition(APPROVED, publish=True)}):
        yield


@contextmanager
def never_written(wanted: Callable[[Mutation], bool]) -> Iterator[None]:
    """Drop the mutations that `wanted` holds for from every commit."""

    def commit(self: SimDatabase, mutations: Sequence[Mutation]) -> None:
        original(self, [each for each in mutations if not wanted(each)])

    original = SimDatabase.commit
    with patch.object(SimDatabase, "commit", commit):
        yield


def inserts(mutation: Mutation, kind: str, **properties: Any) -> bool:
    """Return whether the mutation inserts an entity of that kind with those properties."""
    return (
        isinstance(mutation, Insert)
        and mutation.key.kind == kind
        and properties.items() <= mutation.entity.items()
    )


@bug()
def stock_leaves_no_tombstone() -> Iterator[None]:
    with never_written(lambda each: inserts(each, RESERVATION, status=RELEASED)):
        yield


@bug()
def payment_leaves_no_tombstone() -> Iterator[None]:
    with never_written(
        lambda each: inserts(each, PAYMENT, status=CANCELED) or inserts(each, LEDGER, canceled=True)
    ):
        yield


@bug()
def rejected_reservations_are_not_recorded() -> Iterator[None]:
    with never_written(lambda each: inserts(each, RESERVATION, status=REFUSED)):
        yield


@bug()
def a_reminder_is_taken_for_a_new_order() -> Iterator[None]:
    async def reserve(self: Stock, eventid: str, ticket: TicketMessage) -> Outcome:
        key = reservation_key(ticket.orderid)
        if (await self._store.read([key])).get(key) is not None:
            await self._store._tables.commit([Delete(key)])
        return await self.reserve(eventid, ticket)

    with patch.dict(stock_usecases.REACTIONS, {"pre-approved": Reaction(reserve)}):
        yield


@bug()
def refunds_are_not_idempotent() -> Iterator[None]:
    def refund_again(entry: Any) -> Any:
        entry = entry or simulated.Entry()
        return replace(entry, refunded=entry.refunded + entry.charged, canceled=True)

    with provider_cancels_with(refund_again):
        yield


@bug()
def a_cancellation_is_not_final() -> Iterator[None]:
    """The provider forgets the cancellation of what it has not charged yet."""
    with provider_cancels_with(lambda entry: entry and replace(entry, refunded=entry.charged, canceled=True)):
        yield


@contextmanager
def provider_cancels_with(change: Callable[[Any], Any]) -> Iterator[None]:
    async def cancel(self: Any, orderid: str) -> int:
        await self.check()
        entry, _ = await self._update(orderid, change)
        return entry.refunded if entry else 0

    with patch.object(simulated.SimulatedProvider, "cancel", cancel):
        yield


@bug()
def every_attempt_charges() -> Iterator[None]:
    """The provider is called with a new idempotency key every time."""

    async def charge(self: Any, orderid: str, amount: int) -> Any:
        def more(entry: Any) -> Any:
            return replace(entry or simulated.Entry(), charged=(entry.charged if entry else 0) + amount)

        await self._update(orderid, more)
        return simulated.Charged()

    with patch.object(simulated.SimulatedProvider, "charge", charge):
        yield


@bug()
def stock_releases_sold_units() -> Iterator[None]:
    """A release ignores the current status of the reservation."""
    original = stock_usecases.inventory.settled

    def settled(reservation: Any, status: str, now: float) -> Any:
        return original(reservation, "reserved", now)

    with patch.object(stock_usecases.inventory, "settled", settled):
        yield


@bug()
def a_repeated_command_runs_again() -> Iterator[None]:
    async def run(self: IdempotentCommands, command: Any, *how: Any, **options: Any) -> Any:
        return await original(self, replace(command, commandid=""), *how, **options)

    original = IdempotentCommands.execute
    with patch.object(IdempotentCommands, "execute", run):
        yield


@bug()
def a_command_without_changes_is_not_recorded() -> Iterator[None]:
    def once(self: Inbox, *how: Any, **options: Any) -> Any:
        return original(self, *how, **{**options, "always": False})

    original = Inbox.once
    with patch.object(Inbox, "once", once):
        yield
