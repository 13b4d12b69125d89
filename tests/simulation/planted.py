"""Bugs to plant, each a trap that systems like this one fell into."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from contract.reactions import Reaction
from contract.tickets import APPROVED, CANCELED, PAID, PAYMENT_FAILED, TicketMessage
from sagakit.consumer import Consumer, Outcome
from sagakit.errors import Contention, OutcomeUnknown
from sagakit.inbox import Inbox
from sagakit.outbox import Outbox
from sagakit.relay import Relay
from sagakit.reminders import ReminderSchedule
from sagakit.store import Changes, Snapshot, Store
from sagakit.sweeper import Sweeper
from sagakit.tables import DUE, Delete, Insert, Key, Row, Update
from services.payment import handlers as payment
from services.payment import simulated
from services.payment.storage import payment_key
from services.payment.usecases import UseCases as Payment
from services.purchase.commands import IdempotentCommands
from services.purchase.ticket import TRANSITIONS, Transition
from services.stock import handlers as stock
from services.stock import usecases as stock_usecases
from services.stock.inventory import REFUSED
from services.stock.storage import reservation_key
from services.stock.usecases import UseCases as Stock
from tests.simulation.tables import SimDatabase
from tests.simulation.weather import RELIABLE, ROUGH, Weather

Plant = Callable[[], "Iterator[None]"]


@dataclass(frozen=True, slots=True)
class Bug:
    """Something wrong, while it is planted."""

    name: str
    plant: Callable[[], Any]
    """Makes a context manager."""
    weather: Weather = ROUGH
    watch: bool = True
    """Without the watch a lost event is not made good for: then nothing may get lost in the first place."""


BUGS: list[Bug] = []


def bug(*, weather: Weather = ROUGH, watch: bool = True) -> Callable[[Plant], Plant]:
    def note(plant: Plant) -> Plant:
        BUGS.append(Bug(plant.__name__, contextmanager(plant), weather, watch))
        return plant

    return note


@bug()
def inbox_rows_are_not_written() -> Iterator[None]:
    with patch.object(Inbox, "once", lambda self, name, decide, **_: decide):
        yield


@bug(weather=RELIABLE, watch=False)
def the_eventid_is_recorded_before_the_handler_ran() -> Iterator[None]:
    async def transact(self: Store, keys: Any, decide: Any, **options: Any) -> Any:
        rows: list[Insert] = []

        def first_the_row(found: Snapshot) -> Changes[Any]:
            changes = decide(found)
            rows.extend(
                Insert(key, entity)
                for key, entity in changes.writes.items()
                if key.kind.endswith("ReceivedEvent")
            )
            return Changes(changes.result)

        if not options.get("recorded") and keys and keys[0].kind in {"OrderTicket", "Reservation", "Payment"}:
            await original(self, keys, first_the_row, **options)
            for row in rows:
                await self._tables.commit([row])

            def then_the_rest(found: Snapshot) -> Changes[Any]:
                changes = decide(Without(found))
                rest = {key: changes.writes[key] for key in changes.writes if not is_inbox(key)}
                return Changes(changes.result, rest, changes.events)

            return await original(self, keys, then_the_rest, **options)
        return await original(self, keys, decide, **options)

    original = Store.transact
    with patch.object(Store, "transact", transact):
        yield


class Without(Snapshot):
    """A snapshot in which no event was ever recorded."""

    def __init__(self, found: Snapshot) -> None:
        super().__init__(found._rows, found._looked_up)

    def get(self, key: Key) -> Any:
        return None if is_inbox(key) else super().get(key)


def is_inbox(key: Key) -> bool:
    return key.kind.endswith("ReceivedEvent")


class Acked:
    """A delivery that was acknowledged at once: whatever is made of it later comes too late."""

    def __init__(self, delivery: Any) -> None:
        self.message = delivery.message
        self.attempt = delivery.attempt
        delivery.ack()

    def ack(self) -> None: ...

    def nack(self) -> None: ...


@bug(weather=RELIABLE, watch=False)
def events_are_acknowledged_before_the_commit() -> Iterator[None]:
    original = Consumer._process

    async def deal_with(self: Consumer, subscription: str, delivery: Any, failure: Any) -> None:
        await original(self, subscription, Acked(delivery), failure)

    with patch.object(Consumer, "_process", deal_with):
        yield


@bug(weather=RELIABLE, watch=False)
def errors_are_acknowledged() -> Iterator[None]:
    """Trap: swallowing an exception, so that success is answered with nothing done."""
    original = Consumer._outcome

    async def outcome(self: Consumer, subscription: str, delivery: Any) -> Outcome:
        try:
            return await original(self, subscription, delivery)
        except (Contention, OutcomeUnknown):
            return Outcome.APPLIED

    with patch.object(Consumer, "_outcome", outcome):
        yield


@bug()
def events_are_published_before_the_commit() -> Iterator[None]:
    original = Store._decided

    async def decided(self: Store, keys: Any, decide: Any) -> Any:
        changes, mutations = await original(self, keys, decide)
        self._relay.enqueue(changes.events)
        return changes, mutations

    with patch.object(Store, "_decided", decided):
        yield


@bug()
def versions_are_not_checked() -> Iterator[None]:
    """Trap: stock read outside the transaction that writes it."""
    with patch.object(SimDatabase, "checks_versions", False):
        yield


@bug()
def any_collision_is_taken_for_already_applied() -> Iterator[None]:
    async def attempts(self: Store, keys: Any, decide: Any, retry_unknown: bool) -> Any:
        changes, mutations = await self._decided(keys, decide)
        if not changes.unchanged:
            try:
                await self._tables.commit(mutations)
            except Contention:
                return changes
            self._relay.enqueue(changes.events)
        return changes

    with patch.object(Store, "_attempts", attempts):
        yield


@bug(weather=RELIABLE, watch=False)
def a_relay_only_runs_inline_after_the_commit() -> Iterator[None]:
    """Trap: a crash strands events for ever."""

    async def run(_: Sweeper) -> None:
        await asyncio.Event().wait()

    with patch.object(Sweeper, "run", run):
        yield


@bug(weather=RELIABLE, watch=False)
def outbox_rows_are_deleted_before_the_broker_answers() -> Iterator[None]:
    original = Relay._publish

    async def publish(self: Relay, batch: Any) -> None:
        await self._tables.commit(self._outbox.deletes([event.eventid for event in batch]))
        await original(self, batch)

    with patch.object(Relay, "_publish", publish):
        yield


@bug(weather=replace(ROUGH, outage_seconds=600))
def a_claim_does_not_move_due() -> Iterator[None]:
    def claim(self: Outbox, key: Key, row: Row) -> Update:
        return Update(
            key, {**row.entity, "claims": row.entity["claims"] + 1, DUE: row.entity[DUE]}, row.version
        )

    with patch.object(Outbox, "claim", claim):
        yield


@bug(weather=replace(ROUGH, outage_seconds=900))
def repeats_never_pause() -> Iterator[None]:
    with patch.object(ReminderSchedule, "next_at", lambda self, now, repeats: now + 1):
        yield


@bug(weather=replace(ROUGH, dropped=0.1), watch=False)
def nobody_repeats_a_last_word() -> Iterator[None]:
    yield


@bug(weather=replace(ROUGH, dropped=0.1))
def a_failed_ticket_goes_quiet() -> Iterator[None]:
    with patch.dict(TRANSITIONS[CANCELED], clear=True):
        yield


@bug()
def paid_approves_a_ticket_that_has_failed() -> Iterator[None]:
    with patch.dict(TRANSITIONS[CANCELED], {PAID: Transition(APPROVED, publish=True)}):
        yield


def changed(table: Any, statuses: Sequence[str], do: Any) -> Any:
    return patch.dict(table, {status: Reaction(do) for status in statuses})


@bug()
def stock_leaves_no_tombstone() -> Iterator[None]:
    async def release(self: Stock, eventid: str, ticket: TicketMessage) -> Outcome:
        key = reservation_key(ticket.orderid)
        if (await self._store.read([key])).get(key) is None:
            return Outcome.IGNORED
        return await self.release(eventid, ticket)

    with changed(stock.REACTIONS, [CANCELED, PAYMENT_FAILED], release):
        yield


@bug()
def payment_leaves_no_tombstone() -> Iterator[None]:
    async def cancel(self: Payment, eventid: str, ticket: TicketMessage) -> Outcome:
        key = payment_key(ticket.orderid)
        if (await self._store.read([key])).get(key) is None:
            return Outcome.IGNORED
        return await self.cancel(eventid, ticket)

    with changed(payment.REACTIONS, [CANCELED, PAYMENT_FAILED], cancel):
        yield


@bug()
def a_second_asking_is_taken_for_a_new_order() -> Iterator[None]:
    async def reserve(self: Stock, eventid: str, ticket: TicketMessage) -> Outcome:
        key = reservation_key(ticket.orderid)
        if (await self._store.read([key])).get(key) is not None:
            await self._store._tables.commit([Delete(key)])
        return await self.reserve(eventid, ticket)

    with changed(stock.REACTIONS, ["pre-approved"], reserve):
        yield


@bug()
def refusals_are_not_remembered() -> Iterator[None]:
    original = Stock._written

    def written(self: Stock, reservation: Any, now: float) -> Any:
        return {} if reservation.status == REFUSED else original(self, reservation, now)

    with patch.object(Stock, "_written", written):
        yield


@bug()
def refunds_are_not_idempotent() -> Iterator[None]:
    def canceled(entry: Any) -> Any:
        entry = entry or simulated.Entry()
        return replace(entry, refunded=entry.refunded + entry.charged, canceled=True)

    with patch.object(simulated, "_canceled", canceled):
        yield


@bug()
def a_cancellation_is_not_final() -> Iterator[None]:
    def canceled(entry: Any) -> Any:
        return None if entry is None else replace(entry, refunded=entry.charged, canceled=True)

    async def cancel(self: Any, orderid: str) -> int:
        await self.check()
        row = (await self._tables.lookup([simulated._key(orderid)])).get(simulated._key(orderid))
        if row is None:
            return 0
        entry, _ = await self._enter(orderid, canceled)
        return entry.refunded

    with patch.object(simulated.SimulatedProvider, "cancel", cancel):
        yield


@bug()
def every_asking_charges() -> Iterator[None]:
    """The provider is asked under a new key every time."""

    async def charge(self: Any, orderid: str, amount: int) -> Any:
        def more(entry: Any) -> Any:
            return replace(entry or simulated.Entry(), charged=(entry.charged if entry else 0) + amount)

        await self._enter(orderid, more)
        return simulated.Charged()

    with patch.object(simulated.SimulatedProvider, "charge", charge):
        yield


@bug()
def stock_gives_back_what_it_has_sold() -> Iterator[None]:
    """A release does not look at what became of the reservation."""
    original = stock_usecases.inventory.settled

    def settled(reservation: Any, status: str, now: float) -> Any:
        return original(reservation, "reserved", now)

    with patch.object(stock_usecases.inventory, "settled", settled):
        yield


@bug()
def a_repeated_call_is_made_again() -> Iterator[None]:
    async def run(self: IdempotentCommands, command: Any, *how: Any, **options: Any) -> Any:
        return await original(self, replace(command, commandid=""), *how, **options)

    original = IdempotentCommands.run
    with patch.object(IdempotentCommands, "run", run):
        yield


@bug()
def a_call_that_changed_nothing_is_forgotten() -> Iterator[None]:
    def once(self: Inbox, *how: Any, **options: Any) -> Any:
        return original(self, *how, **{**options, "always": False})

    original = Inbox.once
    with patch.object(Inbox, "once", once):
        yield
