"""Use cases of payments, each one transaction; the provider is called before it, never inside."""

from collections.abc import Callable
from typing import NamedTuple

from contract import tickets
from contract.reactions import Reaction
from contract.tickets import PAID, PAYMENT_FAILED, TicketMessage, must_agree, ticket_event
from sagakit.consumer import Outcome
from sagakit.errors import NotFound
from sagakit.events import Event
from sagakit.inbox import Inbox
from sagakit.reminders import ReminderSchedule
from sagakit.runtime import Runtime
from sagakit.store import Changes, Snapshot, Store
from sagakit.tables import Entity, Key
from services.payment import charge as charges
from services.payment import provider as providers
from services.payment.charge import CANCELED, CHARGED, DECLINED, NO_AMOUNT, Charge
from services.payment.provider import PaymentProvider
from services.payment.storage import charge_entity, payment_key, to_charge


class ChargeResult(NamedTuple):
    """Outcome of a request to charge, and the status of the charge."""

    outcome: Outcome
    status: str = ""


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

    async def get_payment(self, orderid: str) -> Charge:
        charge = _known(await self._store.read([payment_key(orderid)]), orderid)
        if charge is None:
            raise NotFound("unknown-order", f"nothing was decided about a payment for an order {orderid}")
        return charge

    async def charge(self, eventid: str, ticket: TicketMessage) -> Outcome:
        """Charge an order once, and reply. Asked again (a new eventid), repeat the first reply."""
        key, replyid = payment_key(ticket.orderid), self._runtime.new_id()
        known = _known(await self._store.read([key]), ticket.orderid)
        fresh = known or await self._charge(ticket)
        now = fresh.time if fresh is not known else self._runtime.now()

        def decide(found: Snapshot) -> Changes[ChargeResult]:
            before = _known(found, ticket.orderid)
            charge = before or fresh
            writes = {} if before else self._writes(charge, now)
            replies = _replies(charge, replyid, now)
            outcome = Outcome.APPLIED if writes or replies else Outcome.IGNORED
            return Changes(ChargeResult(outcome, charge.status), writes, replies)

        once = self._inbox.once(eventid, decide, load=lambda _: ChargeResult(Outcome.DUPLICATE))
        # A blind insert if no charge was found: a concurrent one causes a conflict, and is read then.
        outcome, status = (await self._store.transact([key] if known else [], once)).result
        if status == CANCELED:
            # The cancellation may have reached the provider before the charge did.
            await self._provider.cancel(ticket.orderid)
        return outcome

    async def settle(self, eventid: str, ticket: TicketMessage) -> Outcome:
        """Settle the charge of an approved order."""

        def change(before: Charge | None, now: float) -> Charge | None:
            if before is None:
                return None
            must_agree(ticket, before.items, before.amount)
            return charges.settled(before, now)

        return await self._change(eventid, ticket.orderid, change)

    async def cancel(self, eventid: str, ticket: TicketMessage) -> Outcome:
        """Compensate: refund the charge of a failed order; a later charge is rejected."""
        refunded = await self._provider.cancel(ticket.orderid)
        return await self._change(
            eventid,
            ticket.orderid,
            lambda before, now: charges.canceled(before, ticket.orderid, refunded, now),
        )

    async def cancel_if_charged(self, eventid: str, ticket: TicketMessage) -> Outcome:
        """Cancel if a charge is stored; without one, nothing can have been charged."""
        charge = _known(await self._store.read([payment_key(ticket.orderid)]), ticket.orderid)
        if charge is None or charge.status != CHARGED:
            return Outcome.IGNORED
        return await self.cancel(eventid, ticket)

    def remind(self, orderid: str, entity: Entity, now: float, eventid: str) -> Changes[bool]:
        """Republish the reply of an open charge."""
        charge = charges.with_reminder(to_charge(orderid, entity))
        return Changes(True, self._writes(charge, now), _replies(charge, eventid, now, is_reminder=True))

    async def _charge(self, ticket: TicketMessage) -> Charge:
        """Charge through the provider; return the charge, with the time of the provider's response."""
        status, reason, refunded = CHARGED, None, 0
        if ticket.amount is None:
            status, reason = DECLINED, NO_AMOUNT
        elif ticket.amount > 0:
            match await self._provider.charge(ticket.orderid, ticket.amount):
                case providers.Declined(reason):
                    status = DECLINED
                case providers.Canceled():
                    status, refunded = CANCELED, await self._provider.cancel(ticket.orderid)
        now = self._runtime.now()
        return Charge(ticket.orderid, status, now, ticket.cart_items, ticket.amount, refunded, reason)

    async def _change(
        self, eventid: str, orderid: str, change: Callable[[Charge | None, float], Charge | None]
    ) -> Outcome:
        now = self._runtime.now()

        def decide(found: Snapshot) -> Changes[Outcome]:
            before = _known(found, orderid)
            after = change(before, now)
            if after is None or after == before:
                return Changes(Outcome.IGNORED)
            return Changes(Outcome.APPLIED, self._writes(after, now))

        once = self._inbox.once(eventid, decide, load=lambda _: Outcome.DUPLICATE)
        return (await self._store.transact([payment_key(orderid)], once)).result

    def _writes(self, charge: Charge, now: float) -> dict[Key, Entity]:
        due = self._schedule.next_at(now, charge.reminders_sent) if charge.status == CHARGED else None
        return {payment_key(charge.orderid): charge_entity(charge, due)}


REACTIONS = {
    tickets.RESERVED: Reaction(UseCases.charge, replies=(PAID, PAYMENT_FAILED)),
    tickets.APPROVED: Reaction(UseCases.settle),
    tickets.PAYMENT_FAILED: Reaction(UseCases.cancel),
    tickets.CANCELED: Reaction(UseCases.cancel),
    # Stock publishes it for orders that were never to be charged, too.
    tickets.RESERVE_FAILED: Reaction(UseCases.cancel_if_charged),
}


def _known(found: Snapshot, orderid: str) -> Charge | None:
    entity = found.get(payment_key(orderid))
    return None if entity is None else to_charge(orderid, entity)


def _replies(charge: Charge, eventid: str, now: float, *, is_reminder: bool = False) -> list[Event]:
    """Return the reply about an order, the same each time; none once the charge is settled."""
    status = {CHARGED: PAID, DECLINED: PAYMENT_FAILED}.get(charge.status)
    if status is None:
        return []
    message = TicketMessage(charge.orderid, status, charge.items, charge.amount, charge.reason)
    return [ticket_event(message, eventid, now, is_reminder=is_reminder)]
