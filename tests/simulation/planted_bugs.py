"""Planted bugs: each is a mistake that systems like this one have made, and the simulation must find it.

Most are planted at public seams: the simulated tables and broker, or the kit's public methods. The rest
reach into private attributes of the store and of the payment provider, which have no seam in that place.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

from contract.reactions import Reaction
from contract.tickets import (
    APPROVED,
    CANCELED,
    KNOWN,
    ORDER_TICKET,
    PAID,
    PUBLISHED_BY,
    STATUS_ATTRIBUTE,
    TicketMessage,
)
from contract.topology import TOPOLOGY
from sagakit import consumer
from sagakit.consumer import Outcome
from sagakit.errors import Contention, Unavailable
from sagakit.events import Event
from sagakit.ignored import Ignored
from sagakit.inbox import Inbox
from sagakit.outbox import Outbox
from sagakit.reminders import ReminderSchedule
from sagakit.sweeper import Sweeper
from sagakit.tables import Delete, Insert, Key, Mutation, Row, Update
from sagakit.testing.backends import FaultyBus, FaultyTables
from sagakit.testing.broker import MemoryDelivery, MemoryPull
from sagakit.testing.tables import MemoryTables
from services.delivery import storage as delivery_storage
from services.payment import storage as payment_storage
from services.payment.charge import CHARGING
from services.payment.simulated import LEDGER
from services.payment.storage import PAYMENT
from services.purchase import storage as purchase_storage
from services.purchase.ticket import TRANSITIONS, Transition
from services.stock import usecases as stock_usecases
from services.stock.inventory import REFUSED, RELEASED, RESERVED
from services.stock.storage import RESERVATION, reservation_key
from services.stock.usecases import UseCases as Stock
from tests.simulation import (  # noqa: F401  they register their own
    planted_command_bugs,
    planted_gateway_bugs,
    planted_operation_bugs,
    planted_partition_bugs,
)
from tests.simulation.bug import BUGS, Bug, Planted, bug
from tests.simulation.faults import FORGING, MIXED, NO_MESSAGE_LOSS, PAYMENT_DIES, UNRELIABLE
from tests.simulation.observer import OUTBOXES
from tests.simulation.planted_batching_bugs import BATCHING_BUGS
from tests.simulation.planted_history_bugs import HISTORY_BUGS
from tests.simulation.planted_provider_bugs import PROVIDER_BUGS
from tests.support.intolerance import drops_nested_unknown_fields, drops_unknown_fields, reads_by_keyword


@bug()
def inbox_rows_are_not_written() -> Planted:
    return patch.object(Inbox, "once", lambda self, name, decide, **_: decide)


@bug(faults=NO_MESSAGE_LOSS, reminders=False)
def the_inbox_row_is_committed_before_the_changes() -> Planted:
    async def commit(self: FaultyTables, mutations: Sequence[Mutation]) -> None:
        recorded = [each for each in mutations if each.key.kind.endswith("ReceivedEvent")]
        if recorded:
            await original(self, recorded)
        await original(self, [each for each in mutations if each not in recorded])

    original = FaultyTables.commit
    return patch.object(FaultyTables, "commit", commit)


class AcknowledgedDelivery:
    """A delivery that was acknowledged at once: settling it later has no effect."""

    def __init__(self, delivery: MemoryDelivery) -> None:
        self.message = delivery.message
        self.attempt = delivery.attempt
        delivery.ack()

    def ack(self) -> None: ...

    def nack(self) -> None: ...


@bug(faults=NO_MESSAGE_LOSS, reminders=False)
def events_are_acknowledged_before_the_commit() -> Planted:
    def deliver(self: MemoryPull, delivery: MemoryDelivery) -> None:
        original(self, AcknowledgedDelivery(delivery))

    original: Any = MemoryPull.deliver
    return patch.object(MemoryPull, "deliver", deliver)


@bug(faults=NO_MESSAGE_LOSS, reminders=False)
def errors_are_acknowledged() -> Planted:
    """An exception is swallowed, so that the broker takes the event for processed."""
    return patch.object(MemoryDelivery, "nack", MemoryDelivery.ack)


@bug()
def events_are_published_before_the_commit() -> Planted:
    async def commit(self: FaultyTables, mutations: Sequence[Mutation]) -> None:
        for each in mutations:
            if isinstance(each, Insert) and each.key.kind in OUTBOXES:
                event = Event(each.key.name, *(each.entity[name] for name in ("type", "body", "attributes")))
                self.world.broker.publish(TOPOLOGY.topics[OUTBOXES[each.key.kind]], [event.to_message()])
        await original(self, mutations)

    original = FaultyTables.commit
    return patch.object(FaultyTables, "commit", commit)


@bug()
def versions_are_not_checked() -> Planted:
    """Stock is read outside the transaction that writes it."""
    return patch.object(MemoryTables, "checks_versions", False)


@bug()
def a_conflict_is_taken_for_already_applied() -> Planted:
    async def commit(self: FaultyTables, mutations: Sequence[Mutation]) -> None:
        with suppress(Contention):
            await original(self, mutations)

    original = FaultyTables.commit
    return patch.object(FaultyTables, "commit", commit)


@bug(faults=NO_MESSAGE_LOSS, reminders=False)
def the_relay_only_publishes_after_the_commit() -> Planted:
    """Nothing sweeps the outbox, so that a crash strands events for ever."""

    async def run(_: Sweeper) -> None:
        await asyncio.Event().wait()

    return patch.object(Sweeper, "run", run)


@bug(faults=NO_MESSAGE_LOSS, reminders=False)
def outbox_rows_are_deleted_before_the_broker_responds() -> Planted:
    background: set[Any] = set()

    async def ignore_failure(publishing: Any) -> None:
        with suppress(Unavailable):
            await publishing

    async def publish(self: FaultyBus, topic: str, messages: Any) -> None:
        task = asyncio.create_task(ignore_failure(original(self, topic, messages)))
        background.add(task)
        task.add_done_callback(background.discard)

    original = FaultyBus.publish
    return patch.object(FaultyBus, "publish", publish)


@bug(faults=replace(UNRELIABLE, outage_seconds=600))
def a_claim_does_not_change_due() -> Planted:
    def claim(self: Outbox, key: Key, row: Row) -> Update:
        return Update(key, {**row.entity, "claims": row.entity["claims"] + 1}, row.version)

    return patch.object(Outbox, "claim", claim)


@bug(faults=replace(UNRELIABLE, outage_seconds=900))
def reminders_do_not_back_off() -> Planted:
    return patch.object(ReminderSchedule, "next_at", lambda self, now, repeats: now + 1)


@bug(faults=replace(UNRELIABLE, dropped=0.1), reminders=False)
def reminders_are_missing() -> Planted:
    return nullcontext()


@bug(faults=replace(UNRELIABLE, dropped=0.1))
def a_failed_ticket_does_not_answer_late_reports() -> Planted:
    return patch.dict(TRANSITIONS[CANCELED], clear=True)


@bug()
def paid_approves_a_failed_ticket() -> Planted:
    return patch.dict(TRANSITIONS[CANCELED], {PAID: Transition(APPROVED, publish=True)})


@bug(faults=FORGING)
def reports_are_accepted_from_any_topic() -> Planted:
    return patch.dict(PUBLISHED_BY, dict.fromkeys(PUBLISHED_BY, KNOWN))


@bug(faults=MIXED)
def entities_are_read_by_keyword() -> Planted:
    return reads_by_keyword(delivery_storage)


@bug(faults=MIXED)
def a_rewrite_drops_unknown_fields() -> Planted:
    return drops_unknown_fields(payment_storage)


@bug(faults=MIXED)
def a_rewrite_drops_unknown_fields_of_nested_values() -> Planted:
    return drops_nested_unknown_fields(purchase_storage)


@bug(faults=MIXED)
def an_unknown_status_is_acknowledged_at_once() -> Planted:
    """The newer replica, which knows it, never gets the event."""
    return patch.object(consumer, "UNKNOWN_ATTEMPTS", 1)


def never_written(wanted: Callable[[Mutation], bool]) -> Planted:
    """Drop the mutations that `wanted` holds for from every commit."""

    def apply(self: MemoryTables, mutations: Sequence[Mutation]) -> None:
        original(self, [each for each in mutations if not wanted(each)])

    original = MemoryTables.apply
    return patch.object(MemoryTables, "apply", apply)


def inserts(mutation: Mutation, kind: str, **properties: Any) -> bool:
    """Return whether the mutation inserts an entity of that kind with those properties."""
    return (
        isinstance(mutation, Insert)
        and mutation.key.kind == kind
        and properties.items() <= mutation.entity.items()
    )


NEVER_WRITTEN: dict[str, Callable[[Mutation], bool]] = {
    "stock_leaves_no_tombstone": lambda each: inserts(each, RESERVATION, status=RELEASED),
    "payment_leaves_no_tombstone": lambda each: (
        inserts(each, PAYMENT, status=CANCELED) or inserts(each, LEDGER, canceled=True)
    ),
    "rejected_reservations_are_not_recorded": lambda each: inserts(each, RESERVATION, status=REFUSED),
}
BUGS += [Bug(name, partial(never_written, each), UNRELIABLE, True) for name, each in NEVER_WRITTEN.items()]


@bug(faults=PAYMENT_DIES)
def charges_without_a_record_of_the_intention() -> Planted:
    return never_written(lambda each: inserts(each, PAYMENT, status=CHARGING))


@bug()
def a_reminder_is_taken_for_a_new_order() -> Planted:
    async def reserve(self: Stock, eventid: str, ticket: TicketMessage) -> Outcome:
        key = reservation_key(ticket.orderid)
        if (await self._store.read([key])).get(key) is not None:
            await self._store._tables.commit([Delete(key)])
        return await self.reserve(eventid, ticket)

    return patch.dict(stock_usecases.REACTIONS, {"pre-approved": Reaction(reserve)})


BUGS += [
    Bug(each.__name__, each, UNRELIABLE, True) for each in (*PROVIDER_BUGS, *BATCHING_BUGS, *HISTORY_BUGS)
]


@bug()
def an_attribute_has_a_reaction_skipped() -> Planted:
    canceled = Ignored(ORDER_TICKET, STATUS_ATTRIBUTE, frozenset({CANCELED}))
    return patch.dict(stock_usecases.IGNORES, {"purchase": canceled})


@bug()
def stock_releases_sold_units() -> Planted:
    """A release ignores the current status of the reservation."""
    original = stock_usecases.inventory.settled
    return patch.object(
        stock_usecases.inventory, "settled", lambda entry, _, now: original(entry, RESERVED, now)
    )
