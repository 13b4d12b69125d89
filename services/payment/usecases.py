"""Use cases of payments. The provider is called between two transactions, never inside one: a charge is
committed as intended before the provider is asked for it, and its outcome afterwards.
"""

from collections.abc import Callable
from functools import partial

from contract import tickets
from contract.ownership import may_read
from contract.reactions import Reaction, ignored_tickets
from contract.tickets import PAID, PAYMENT_FAILED, TicketMessage, must_agree, ticket_event
from sagakit.consumer import Outcome
from sagakit.errors import NotFound
from sagakit.events import Event
from sagakit.inbox import Inbox
from sagakit.reminders import ReminderSchedule
from sagakit.runtime import Runtime
from sagakit.side_effects import SideEffects
from sagakit.store import Changes, Snapshot, Store
from sagakit.tables import Entity, Key
from services.payment import charge as charges
from services.payment import provider as providers
from services.payment.charge import CANCELED, CHARGED, CHARGING, DECLINED, NO_AMOUNT, OPEN, Charge
from services.payment.provider import PaymentProvider
from services.payment.storage import charge_entity, payment_key, to_charge


class UseCases:
    """Each method returns the state its transaction left, or raises Rejected and changes nothing.

    Raises Unavailable if the provider does not respond: the event is redelivered, and the call retried.
    """

    def __init__(
        self,
        store: Store,
        inbox: Inbox,
        runtime: Runtime,
        schedule: ReminderSchedule,
        provider: PaymentProvider,
    ) -> None:
        self._store = store
        self._inbox = inbox
        self._runtime = runtime
        self._schedule = schedule
        self._provider = provider
        self.side_effects = SideEffects(self.resume)
        """Resumes charges whose reminders are due."""

    async def get_payment(self, orderid: str) -> Charge:
        charge = await self._read(orderid)
        if charge is None or not may_read(orderid, charge.owner_digest):
            raise NotFound("unknown-order", f"nothing was decided about a payment for an order {orderid}")
        return charge

    async def charge(self, eventid: str, ticket: TicketMessage) -> Outcome:
        """Charge an order once, and reply. Asked again (a new eventid), repeat the first reply."""
        key, replyid = payment_key(ticket.orderid), self._runtime.new_id()
        intended = await self._intended(ticket)
        fresh = await self._decided(intended)

        def decide(found: Snapshot) -> Changes[Outcome]:
            before, now = _known(found, ticket.orderid), self._runtime.now()
            # An intention to charge another amount is not what was decided about.
            if before is None or (before.status, before.amount) == (CHARGING, intended.amount):
                charge = charges.with_decision(before, fresh) if before else fresh
                replies = _replies(charge, replyid, charge.time)
                return Changes(Outcome.APPLIED, self._writes(charge, now), replies)
            replies = _replies(before, replyid, now)
            return Changes(Outcome.APPLIED if replies else _unchanged(before), {}, replies)

        once = self._inbox.once(eventid, decide, load=lambda _: Outcome.DUPLICATE)
        # A charge that needs no provider has no intention: it is inserted blind.
        keys = [key] if intended.amount else []
        return (await self._store.transact(keys, once)).result

    async def settle(self, eventid: str, ticket: TicketMessage) -> Outcome:
        """Settle the charge of an approved order."""

        def change(before: Charge | None, now: float) -> Charge | None:
            if before is None:
                return None
            must_agree(ticket, before.items, before.amount)
            return charges.settled(before, now)

        return await self._change(eventid, ticket, change)

    async def cancel(self, eventid: str, ticket: TicketMessage) -> Outcome:
        """Compensate: refund the charge of a failed order; a later charge is rejected.

        No intention is committed first. A process that dies in between leaves the record as it was: an open
        charge is due, and ends as canceled; without a record, nothing can be charged any more.
        """
        before = await self._read(ticket.orderid)
        if before is not None and before.status not in OPEN:
            return _unchanged(before)
        refunded = await self._provider.cancel(ticket.orderid)
        return await self._change(
            eventid,
            ticket,
            lambda before, now: charges.canceled(before, ticket.orderid, refunded, now),
        )

    async def cancel_if_charged(self, eventid: str, ticket: TicketMessage) -> Outcome:
        """Cancel if a charge is stored; without one, nothing can have been charged."""
        if await self._read(ticket.orderid) is None:
            return Outcome.IGNORED
        return await self.cancel(eventid, ticket)

    async def resume(self, orderid: str) -> None:
        """Ask the provider again about a charge without a recorded outcome; record it, and reply.

        Raises Unavailable if the provider does not respond.
        """
        intended = await self._read(orderid)
        if intended is None:
            return
        fresh, replyid = await self._decided(intended), self._runtime.new_id()

        def decide(found: Snapshot) -> Changes[None]:
            before, now = _known(found, orderid), self._runtime.now()
            if before is None or before.status != CHARGING:
                return Changes(None)
            charge = charges.with_decision(before, fresh)
            return Changes(None, self._writes(charge, now), _replies(charge, replyid, charge.time))

        await self._store.transact([payment_key(orderid)], decide)

    def remind(self, orderid: str, entity: Entity, now: float, eventid: str) -> Changes[str | None]:
        """Republish the reply of an open charge; resume one whose outcome is not recorded."""
        charge = charges.with_reminder(to_charge(orderid, entity))
        if charge.status not in OPEN:
            # A newer version's status: only its processes know what the charge waits for.
            return Changes(None)
        writes = self._writes(charge, now)
        if charge.status == CHARGING:
            return Changes(None, writes, on_commit=partial(self.side_effects.schedule, orderid))
        return Changes("purchase", writes, _replies(charge, eventid, now, is_reminder=True))

    async def _intended(self, ticket: TicketMessage) -> Charge:
        """Return the charge on record, or else the intention, which is on record if it needs the provider."""
        now = self._runtime.now()
        intended = Charge(ticket.orderid, CHARGING, now, ticket.cart_items, ticket.amount)
        intention = charges.owned(intended, ticket.owner_digest)
        if not ticket.amount:
            return intention

        def decide(found: Snapshot) -> Changes[Charge]:
            known = _known(found, ticket.orderid)
            return Changes(intention, self._writes(intention, now)) if known is None else Changes(known)

        # Blind insert: an existing charge causes a conflict, and is read then.
        return (await self._store.transact((), decide)).result

    async def _decided(self, charge: Charge) -> Charge:
        """Return the charge with the provider's decision, if it has none."""
        if charge.status != CHARGING:
            return charge
        decided = partial(charges.decided, charge)
        if charge.amount is None:
            return decided(DECLINED, self._runtime.now(), reason=NO_AMOUNT)
        answer = await self._provider.charge(charge.orderid, charge.amount) if charge.amount else None
        match answer:
            case providers.Declined(reason):
                return decided(DECLINED, self._runtime.now(), reason=reason)
            case providers.Canceled():
                refunded = await self._provider.cancel(charge.orderid)
                return decided(CANCELED, self._runtime.now(), refunded=refunded)
        return decided(CHARGED, self._runtime.now())

    async def _read(self, orderid: str) -> Charge | None:
        return _known(await self._store.read([payment_key(orderid)]), orderid)

    async def _change(
        self, eventid: str, ticket: TicketMessage, change: Callable[[Charge | None, float], Charge | None]
    ) -> Outcome:
        now = self._runtime.now()

        def decide(found: Snapshot) -> Changes[Outcome]:
            before = _known(found, ticket.orderid)
            after = change(before, now)
            # Purchase publishes the owner, stock may not pass it on.
            after = after and charges.owned(after, ticket.owner_digest)
            if after is None or after == before:
                return Changes(_unchanged(before))
            return Changes(Outcome.APPLIED, self._writes(after, now))

        once = self._inbox.once(eventid, decide, load=lambda _: Outcome.DUPLICATE)
        return (await self._store.transact([payment_key(ticket.orderid)], once)).result

    def _writes(self, charge: Charge, now: float) -> dict[Key, Entity]:
        due = self._schedule.next_at(now, charge.reminders_sent) if charge.status in OPEN else None
        return {payment_key(charge.orderid): charge_entity(charge, due)}


REACTIONS = {
    tickets.RESERVED: Reaction(UseCases.charge, replies=(PAID, PAYMENT_FAILED)),
    tickets.APPROVED: Reaction(UseCases.settle),
    tickets.PAYMENT_FAILED: Reaction(UseCases.cancel),
    tickets.CANCELED: Reaction(UseCases.cancel),
    # Stock publishes it for orders that were never to be charged, too.
    tickets.RESERVE_FAILED: Reaction(UseCases.cancel_if_charged),
}
IGNORES = ignored_tickets(REACTIONS)


def _known(found: Snapshot, orderid: str) -> Charge | None:
    entity = found.get(payment_key(orderid))
    return None if entity is None else to_charge(orderid, entity)


def _unchanged(charge: Charge | None) -> Outcome:
    """Return the outcome of an event that leaves the charge as it is."""
    return Outcome.IGNORED if charge is None or charge.status in charges.STATUSES else Outcome.UNKNOWN


def _replies(charge: Charge, eventid: str, now: float, *, is_reminder: bool = False) -> list[Event]:
    """Return the reply about an order, the same each time; none once the charge is settled."""
    status = {CHARGED: PAID, DECLINED: PAYMENT_FAILED}.get(charge.status)
    if status is None:
        return []
    message = TicketMessage(charge.orderid, status, charge.items, charge.amount, charge.reason)
    return [ticket_event(message, eventid, now, is_reminder=is_reminder)]
