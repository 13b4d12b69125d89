"""Use cases of reservations, each one transaction."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from contract import tickets
from contract.fields import MAX_ITEMS_PER_CART, TOO_MANY_ITEMS
from contract.ownership import may_read
from contract.reactions import Reaction, ignored_tickets
from contract.tickets import PAID, RESERVE_FAILED, RESERVED, TicketMessage, must_agree, ticket_event
from sagakit.consumer import Outcome
from sagakit.errors import NotFound, Poison
from sagakit.events import Event
from sagakit.inbox import Inbox
from sagakit.reminders import ReminderSchedule
from sagakit.runtime import Runtime
from sagakit.store import Changes, Decide, Snapshot, Store
from sagakit.tables import UNSTORABLE, Entity, Key
from services.stock import inventory
from services.stock.inventory import REFUSED, RELEASED, SOLD, Allocation, Item, Reservation, Shard
from services.stock.shards import ShardHints, itemids_of, known, seen, shards_of
from services.stock.storage import (
    item_key,
    reservation_entity,
    reservation_key,
    shard_entities,
    shard_key,
    to_reservation,
    to_shard,
)


class Reserved(NamedTuple):
    """Outcome of an order, and the items that were read."""

    outcome: Outcome
    items: Mapping[str, Item] = {}


class UseCases:
    """Each method returns the state its transaction left, or raises Rejected and changes nothing."""

    def __init__(
        self,
        store: Store,
        inbox: Inbox,
        runtime: Runtime,
        schedule: ReminderSchedule,
        shard_hints: ShardHints,
    ) -> None:
        self._store = store
        self._inbox = inbox
        self._runtime = runtime
        self._schedule = schedule
        self._shard_hints = shard_hints

    async def get_reservation(self, orderid: str) -> Reservation:
        entity = (await self._store.read([reservation_key(orderid)])).get(reservation_key(orderid))
        reservation = None if entity is None else to_reservation(orderid, entity)
        if reservation is None or not may_read(orderid, reservation.owner_digest):
            raise NotFound("unknown-order", f"nothing was decided about an order {orderid}")
        return reservation

    async def reserve(self, eventid: str, ticket: TicketMessage) -> Outcome:
        """Decide about an order once, and reply. Asked again (a new eventid), repeat the first reply.

        An order that is too large for one transaction is rejected.
        """
        itemids = itemids_of(ticket)
        if len(itemids) > MAX_ITEMS_PER_CART:
            return await self._reject(eventid, ticket, TOO_MANY_ITEMS)
        now = self._runtime.now()

        def reserve(found: Snapshot) -> tuple[Reservation, Mapping[str, Item]]:
            items = known(found, itemids)
            shards = _sufficient_shards(found, ticket, items)
            return inventory.reserve(ticket.orderid, ticket.cart_items, items, shards, now), items

        decide = self._once(eventid, ticket, now, reserve)
        keys = self._shard_hints.preferred_keys(ticket)
        try:
            changes = await self._store.transact(keys, decide, read_only=[item_key(each) for each in itemids])
        except Poison as poison:
            if poison.reason.partition(":")[0] != UNSTORABLE:
                raise  # A corrupt item or shard: the order can be reserved once that is repaired.
            # Some databases accept fewer entities in a commit: the Datastore emulator 25.
            return await self._reject(eventid, ticket, TOO_MANY_ITEMS)
        self._shard_hints.update(changes.result.items.values())
        return changes.result.outcome

    async def _reject(self, eventid: str, ticket: TicketMessage, reason: str) -> Outcome:
        now = self._runtime.now()
        rejection = inventory.refused(ticket.orderid, ticket.cart_items, reason, now)
        decide = self._once(eventid, ticket, now, lambda _: (rejection, {}))
        return (await self._store.transact((), decide)).result.outcome

    def _once(
        self,
        eventid: str,
        ticket: TicketMessage,
        now: float,
        reserve: Callable[[Snapshot], tuple[Reservation, Mapping[str, Item]]],
    ) -> Decide[Reserved]:
        """Return the decision that stores what `reserve` returns and replies, or repeats an earlier reply."""
        key, replyid = reservation_key(ticket.orderid), self._runtime.new_id()

        def decide(found: Snapshot) -> Changes[Reserved]:
            entity = found.get(key)
            if entity is not None:
                before = to_reservation(ticket.orderid, entity)
                if before.status not in inventory.STATUSES:
                    return Changes(Reserved(Outcome.UNKNOWN))
                replies = _replies(before, replyid, now)
                return Changes(Reserved(Outcome.APPLIED if replies else Outcome.IGNORED), {}, replies)
            decided, items = reserve(found)
            reservation = replace(decided, owner_digest=ticket.owner_digest)
            writes = {**self._writes(reservation, now), **_changed(found, reservation, inventory.reserved)}
            replies = _replies(reservation, replyid, now)
            return Changes(Reserved(Outcome.APPLIED, items), writes, replies)

        # Blind insert: an existing reservation causes a conflict, and is read then.
        return self._inbox.once(eventid, decide, load=lambda _: Reserved(Outcome.DUPLICATE))

    async def sell(self, eventid: str, ticket: TicketMessage) -> Outcome:
        """Mark the reservation of an order as sold."""
        return await self._settle(eventid, ticket, SOLD, inventory.sold)

    async def release(self, eventid: str, ticket: TicketMessage) -> Outcome:
        """Compensate: release an order's reservation; without one, leave a tombstone that prevents it."""
        return await self._settle(eventid, ticket, RELEASED, inventory.released)

    def remind(self, orderid: str, entity: Entity, now: float, eventid: str) -> Changes[str | None]:
        """Republish the reply of an open reservation."""
        before = to_reservation(orderid, entity)
        if before.status not in inventory.STATUSES:
            # A newer version's status: only its processes know what the reservation waits for.
            return Changes(None)
        reservation = inventory.with_reminder(before)
        replies = _replies(reservation, eventid, now, is_reminder=True)
        return Changes("purchase", self._writes(reservation, now), replies)

    async def _settle(
        self, eventid: str, ticket: TicketMessage, status: str, change: Callable[[Shard, int], Shard]
    ) -> Outcome:
        key, now = reservation_key(ticket.orderid), self._runtime.now()

        def decide(found: Snapshot) -> Changes[Outcome]:
            entity = found.get(key)
            if entity is None:
                if status == SOLD:
                    return Changes(Outcome.IGNORED)
                tombstone = inventory.tombstone(ticket.orderid, now, ticket.owner_digest)
                return Changes(Outcome.APPLIED, self._writes(tombstone, now))
            before = to_reservation(ticket.orderid, entity)
            if before.status != inventory.RESERVED:
                known = before.status in inventory.STATUSES
                return Changes(Outcome.IGNORED if known else Outcome.UNKNOWN)
            if status == SOLD:
                must_agree(ticket, before.items, before.amount)
            found.require(shard_key(allocation.itemid, allocation.shard) for allocation in before.allocations)
            after = inventory.settled(before, status, now)
            return Changes(Outcome.APPLIED, {**self._writes(after, now), **_changed(found, before, change)})

        once = self._inbox.once(eventid, decide, load=lambda _: Outcome.DUPLICATE)
        # A guess, to save a lookup; the reservation knows the shards.
        preferred = self._shard_hints.preferred_keys(ticket)[:MAX_ITEMS_PER_CART]
        return (await self._store.transact([key, *preferred], once)).result

    def _writes(self, reservation: Reservation, now: float) -> dict[Key, Entity]:
        waits = reservation.status == inventory.RESERVED
        due = self._schedule.next_at(now, reservation.reminders_sent) if waits else None
        return {reservation_key(reservation.orderid): reservation_entity(reservation, due)}


REACTIONS = {
    tickets.PRE_APPROVED: Reaction(UseCases.reserve, replies=(RESERVED, RESERVE_FAILED, PAID)),
    tickets.APPROVED: Reaction(UseCases.sell),
    tickets.PAYMENT_FAILED: Reaction(UseCases.release),
    tickets.CANCELED: Reaction(UseCases.release),
    tickets.RESERVE_FAILED: Reaction(UseCases.release),
}
IGNORES = ignored_tickets(REACTIONS)


def _sufficient_shards(
    found: Snapshot, ticket: TicketMessage, items: Mapping[str, Item]
) -> dict[str, dict[int, Shard]]:
    """Return shards with enough units for the order, or every shard of an item in short supply."""
    shards = {itemid: seen(found, item) for itemid, item in items.items()}
    missing = inventory.shortages(ticket.orderid, ticket.cart_items, items, shards)
    found.require(key for itemid in missing for key in shards_of(items[itemid]))
    return shards


def _changed(
    found: Snapshot, reservation: Reservation, change: Callable[[Shard, int], Shard]
) -> dict[Key, Entity]:
    """Return the shards of a reservation, each after `change`."""

    def changed(allocation: Allocation) -> Shard:
        entity = found.get(shard_key(allocation.itemid, allocation.shard))
        if entity is None:
            raise LookupError(f"shard {allocation.shard} of {allocation.itemid} is missing")
        return change(to_shard(entity), allocation.count)

    writes: dict[Key, Entity] = {}
    for allocation in reservation.allocations:
        writes |= shard_entities(allocation.itemid, {allocation.shard: changed(allocation)})
    return writes


def _replies(reservation: Reservation, eventid: str, now: float, *, is_reminder: bool = False) -> list[Event]:
    """Return the reply about an order, the same each time; none once the reservation is settled."""
    if reservation.status in {SOLD, RELEASED}:
        return []
    status, amount = RESERVED, reservation.amount
    if reservation.status == REFUSED:
        status = RESERVE_FAILED
    elif reservation.waives_payment:
        status, amount = PAID, None
    digest = reservation.owner_digest
    message = TicketMessage(
        reservation.orderid, status, reservation.items, amount, reservation.reason, digest
    )
    return [ticket_event(message, eventid, now, is_reminder=is_reminder)]
