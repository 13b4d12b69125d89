"""What can be done with payments, each as one step; the provider is asked before it, never inside."""

from collections.abc import Callable
from typing import NamedTuple

from contract.tickets import PAID, PAYMENT_FAILED, TicketMessage, ticket_event
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
    """What became of an event that asks for money, and of the charge."""

    outcome: Outcome
    status: str = ""


class UseCases:
    """Each method answers with things as its step left them, or raises Rejected and changes nothing.

    Raises Unavailable where the provider gives no answer: then the event comes again, and asks again.
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
        """Charge an order once, and answer. Asked again (a new eventid), repeat the first answer."""
        key, answerid = payment_key(ticket.orderid), self._runtime.new_id()
        known = _known(await self._store.read([key]), ticket.orderid)
        fresh = known or await self._asked(ticket)
        now = fresh.time if fresh is not known else self._runtime.now()

        def decide(found: Snapshot) -> Changes[ChargeResult]:
            before = _known(found, ticket.orderid)
            charge = before or fresh
            writes = {} if before else self._written(charge, now)
            answers = _answers(charge, answerid, now)
            outcome = Outcome.APPLIED if writes or answers else Outcome.IGNORED
            return Changes(ChargeResult(outcome, charge.status), writes, answers)

        once = self._inbox.once(eventid, decide, load=lambda _: ChargeResult(Outcome.DUPLICATE))
        # Inserted blind where there was none: it is looked up again only where one has come meanwhile.
        outcome, status = (await self._store.transact([key] if known else [], once)).result
        if status == CANCELED:
            # The cancellation may have reached the provider before the charge did.
            await self._provider.cancel(ticket.orderid)
        return outcome

    async def settle(self, eventid: str, ticket: TicketMessage) -> Outcome:
        """The order is approved: what was charged for it is there to stay."""
        return await self._change(
            eventid, ticket.orderid, lambda before, now: before and charges.settled(before, now)
        )

    async def cancel(self, eventid: str, ticket: TicketMessage) -> Outcome:
        """The order has failed: what was charged for it is given back, what comes later is refused."""
        refunded = await self._provider.cancel(ticket.orderid)
        return await self._change(
            eventid,
            ticket.orderid,
            lambda before, now: charges.canceled(before, ticket.orderid, refunded, now),
        )

    async def cancel_if_charged(self, eventid: str, ticket: TicketMessage) -> Outcome:
        """`cancel` where something is known to be charged; nothing else can have been."""
        charge = _known(await self._store.read([payment_key(ticket.orderid)]), ticket.orderid)
        if charge is None or charge.status != CHARGED:
            return Outcome.IGNORED
        return await self.cancel(eventid, ticket)

    def remind(self, orderid: str, entity: Entity, now: float, eventid: str) -> Changes[bool]:
        """Repeat the answer about a charge that is neither settled nor given back."""
        charge = charges.with_reminder(to_charge(orderid, entity))
        return Changes(True, self._written(charge, now), _answers(charge, eventid, now, is_reminder=True))

    async def _asked(self, ticket: TicketMessage) -> Charge:
        """The order's first charge, as the provider answers it, and of when it has."""
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
            return Changes(Outcome.APPLIED, self._written(after, now))

        once = self._inbox.once(eventid, decide, load=lambda _: Outcome.DUPLICATE)
        return (await self._store.transact([payment_key(orderid)], once)).result

    def _written(self, charge: Charge, now: float) -> dict[Key, Entity]:
        due = self._schedule.next_at(now, charge.reminders_sent) if charge.status == CHARGED else None
        return {payment_key(charge.orderid): charge_entity(charge, due)}


def _known(found: Snapshot, orderid: str) -> Charge | None:
    entity = found.get(payment_key(orderid))
    return None if entity is None else to_charge(orderid, entity)


def _answers(charge: Charge, eventid: str, now: float, *, is_reminder: bool = False) -> list[Event]:
    """What the service says about an order, now and whenever it is asked again; settled, nothing."""
    status = {CHARGED: PAID, DECLINED: PAYMENT_FAILED}.get(charge.status)
    if status is None:
        return []
    message = TicketMessage(charge.orderid, status, charge.items, charge.amount, charge.reason)
    return [ticket_event(message, eventid, now, is_reminder=is_reminder)]
