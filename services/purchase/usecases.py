"""Use cases of carts and tickets, each one transaction."""

from collections.abc import Callable, Mapping
from functools import partial

from contract.ownership import owner_digest
from contract.reactions import Publishers, ticket_handlers
from contract.tickets import OPEN, TicketMessage, ticket_event
from sagakit.auth import caller as callers
from sagakit.consumer import Handler, Outcome
from sagakit.errors import NotFound, Poison
from sagakit.events import REMINDER_ATTRIBUTE, Event
from sagakit.inbox import Inbox
from sagakit.reminders import MAX_INTERVAL_SECONDS, ReminderSchedule
from sagakit.runtime import Runtime
from sagakit.store import Changes, Snapshot, Store
from sagakit.tables import Entity, Key
from sagakit.telemetry.instruments import NO_METRICS, Metrics
from sagakit.telemetry.traceparent import current_trace_id
from services.purchase import cart as carts
from services.purchase import ticket as tickets
from services.purchase.cart import Cart, Opened
from services.purchase.commands import Command, IdempotentCommands
from services.purchase.metrics import Orders
from services.purchase.storage import (
    CART_CODEC,
    OPENED_CODEC,
    TICKET_CODEC,
    cart_entity,
    cart_key,
    ticket_entity,
    ticket_key,
    to_cart,
    to_ticket,
)
from services.purchase.ticket import Report, Ticket


class UseCases:
    """Each method returns the state its transaction left, or raises Rejected and changes nothing."""

    def __init__(
        self,
        store: Store,
        inbox: Inbox,
        runtime: Runtime,
        schedule: ReminderSchedule,
        order_deadline_seconds: float,
        cart_ttl_seconds: float,
        metrics: Metrics = NO_METRICS,
        also_awaits: tuple[str, ...] = (),
    ) -> None:
        """`also_awaits`: services beside delivery that must answer an approved order (see Ticket)."""
        self._store = store
        self._inbox = inbox
        self._commands = IdempotentCommands(store, inbox)
        self._runtime = runtime
        self._schedule = schedule
        self._order_deadline_seconds = order_deadline_seconds
        self._cart_ttl_seconds = cart_ttl_seconds
        self._orders = Orders(metrics)
        self._also_awaits = also_awaits

    async def create_cart(self, cartid: str, commandid: str = "") -> Opened:
        """Create an open cart, or return the existing one."""
        put = self._put_cart()

        def decide(found: Snapshot) -> Changes[Opened]:
            if found.get(cart_key(cartid)) is not None:
                return Changes(Opened(_cart_of(found, cartid), created=False))
            cart = Cart(cartid, owner=callers.current().sub)
            return Changes(Opened(cart, created=True), put(cart))

        command = Command(commandid, cartid, {"create": cartid})
        # Blind insert: an existing cart causes a conflict, and is read then.
        return await self._commands.execute(command, (), decide, OPENED_CODEC, authorize=_authorize_cart)

    async def get_cart(self, cartid: str) -> Cart:
        return _cart_of(await self._store.read([cart_key(cartid)]), cartid)

    async def add_item(self, cartid: str, itemid: str, count: int, commandid: str = "") -> Cart:
        """Add units. Without a `commandid`, raises OutcomeUnknown if the units may have been added."""
        command = Command(commandid, cartid, {"add": itemid, "count": count})
        return await self._change(command, lambda cart: carts.add(cart, itemid, count), retry_unknown=False)

    async def set_item(self, cartid: str, itemid: str, count: int, commandid: str = "") -> Cart:
        command = Command(commandid, cartid, {"set": itemid, "count": count})
        return await self._change(command, lambda cart: carts.put(cart, itemid, count))

    async def remove_item(self, cartid: str, itemid: str, commandid: str = "") -> Cart:
        command = Command(commandid, cartid, {"remove": itemid})
        return await self._change(command, lambda cart: carts.remove(cart, itemid))

    async def close_cart(self, cartid: str, commandid: str = "") -> Cart:
        return await self._change(Command(commandid, cartid, {"close": cartid}), carts.close)

    async def checkout(self, cartid: str, commandid: str = "") -> Ticket:
        """Open and publish the ticket of a closed cart, or return the ticket opened before."""
        orderid, eventid, now = self._runtime.new_id(), self._runtime.new_id(), self._runtime.now()
        put, trace_id = self._put_cart(), current_trace_id()

        def decide(found: Snapshot) -> Changes[Ticket]:
            cart = _cart_of(found, cartid)
            if cart.orderid is not None:
                found.require([ticket_key(cart.orderid)])
                return Changes(_ticket_of(found, cart.orderid))
            about = (cart.owner, trace_id, self._also_awaits)
            ticket = tickets.opened(orderid, cartid, cart.items, now, *about)
            writes = {**put(carts.check_out(cart, orderid)), **self._writes(ticket, now)}
            published = [to_event(ticket, eventid, now)]
            return Changes(ticket, writes, published, self._orders.opened)

        command = Command(commandid, cartid, {"checkout": cartid})
        return await self._commands.execute(
            command, [cart_key(cartid)], decide, TICKET_CODEC, authorize=_authorize_cart
        )

    async def get_order_ticket(self, orderid: str) -> Ticket:
        return _ticket_of(await self._store.read([ticket_key(orderid)]), orderid)

    async def cancel_order(self, orderid: str, commandid: str = "") -> Ticket:
        """Return the canceled ticket. Raises FailedPrecondition if its status is another final one."""
        eventid, now, trace_id = self._runtime.new_id(), self._runtime.now(), current_trace_id()

        def decide(found: Snapshot) -> Changes[Ticket]:
            before = _ticket_of(found, orderid)
            after = tickets.cancel(before, tickets.CLIENT, now, trace_id)
            if after == before:
                return Changes(before)
            published = [to_event(after, eventid, now)]
            return Changes(after, self._writes(after, now), published, self._recording(before, after))

        command = Command(commandid, orderid, {"cancel": orderid})
        return await self._commands.execute(
            command, [ticket_key(orderid)], decide, TICKET_CODEC, authorize=_ticket_of
        )

    def handlers(self, publishers: Publishers) -> Mapping[str, Handler]:
        """Return handlers of the other services' reports, by event type, for the kit's consumer."""

        async def apply(event: Event, ticket: TicketMessage) -> Outcome:
            report = Report(
                eventid=event.eventid,
                status=ticket.status,
                time=self._runtime.now(),
                amount=ticket.amount,
                reason=ticket.reason,
                is_reminder=REMINDER_ATTRIBUTE in event.attributes,
                trace_id=current_trace_id(),
                items=ticket.cart_items,
            )
            return await self.apply_report(ticket.orderid, report)

        return ticket_handlers(apply, publishers)

    async def apply_report(self, orderid: str, report: Report) -> Outcome:
        """Apply a report once, as TRANSITIONS define.

        Raises Poison if the order does not exist, or the report contradicts it.
        """
        eventid = self._runtime.new_id()

        def decide(found: Snapshot) -> Changes[Outcome]:
            entity = found.get(ticket_key(orderid))
            if entity is None:
                raise Poison("unknown-order")
            before = to_ticket(orderid, entity)
            if before.status not in tickets.TRANSITIONS:
                return Changes(Outcome.UNKNOWN)
            tickets.check(before, report)
            after, publish = tickets.reported(before, report)
            if after == before and not publish:
                return Changes(Outcome.IGNORED)
            published = [to_event(after, eventid, report.time)] if publish else []
            writes = self._writes(after, report.time)
            return Changes(Outcome.APPLIED, writes, published, self._recording(before, after))

        once = self._inbox.once(report.eventid, decide, load=lambda _: Outcome.DUPLICATE)
        return (await self._store.transact([ticket_key(orderid)], once)).result

    def remind(self, orderid: str, entity: Entity, now: float, eventid: str) -> Changes[str | None]:
        """Republish a ticket that awaits a reply; cancel an open one at its deadline."""
        before = to_ticket(orderid, entity)
        if before.status not in tickets.TRANSITIONS:
            # A newer version's status: only its processes know what the ticket waits for.
            return Changes(None)
        deadline_seconds = self._order_deadline_seconds
        ticket = tickets.reminded(before, now, deadline_seconds, current_trace_id())
        writes = self._writes(ticket, now)
        awaited = ticket.awaits_reply_of
        if awaited is None and ticket.status == before.status:
            return Changes(None, writes)
        published = [to_event(ticket, eventid, now, is_reminder=awaited is not None)]
        return Changes(awaited, writes, published, self._recording(before, ticket))

    def _recording(self, before: Ticket, after: Ticket) -> Callable[[], None] | None:
        """Return the function that records the end of an order; None if it has not ended just now."""
        ended = before.status in OPEN and after.status not in OPEN
        return partial(self._orders.ended, after) if ended else None

    def _put_cart(self) -> Callable[[Cart], Mapping[Key, Entity]]:
        """Return a function to the writes of a changed cart, whose expiry counts from now."""
        expires_at = self._runtime.now() + self._cart_ttl_seconds
        return lambda cart: {cart_key(cart.cartid): cart_entity(cart, expires_at)}

    def _writes(self, ticket: Ticket, now: float) -> Mapping[Key, Entity]:
        return {ticket_key(ticket.orderid): ticket_entity(ticket, self._due(ticket, now))}

    def _due(self, ticket: Ticket, now: float) -> float | None:
        """Return when a ticket is due unless it changes (seconds since the epoch); None: never."""
        moments = []
        if ticket.awaits_reply:
            moments.append(self._schedule.next_at(now, ticket.reminders_sent))
        if ticket.status in OPEN:
            # A `due` further ahead counts as wrong: a longer deadline is reached in several intervals.
            deadline_at = ticket.opened_at + self._order_deadline_seconds
            moments.append(min(deadline_at, now + MAX_INTERVAL_SECONDS))
        return min(moments, default=None)

    async def _change(
        self, command: Command, change: Callable[[Cart], Cart], *, retry_unknown: bool = True
    ) -> Cart:
        put = self._put_cart()

        def decide(found: Snapshot) -> Changes[Cart]:
            before = _cart_of(found, command.resource)
            after = change(before)
            return Changes(after, {} if after == before else put(after))

        keys = [cart_key(command.resource)]
        return await self._commands.execute(
            command, keys, decide, CART_CODEC, authorize=_authorize_cart, retry_unknown=retry_unknown
        )


def to_event(ticket: Ticket, eventid: str, now: float, *, is_reminder: bool = False) -> Event:
    digest = owner_digest(ticket.orderid, ticket.owner)
    message = TicketMessage(ticket.orderid, ticket.status, ticket.items, ticket.amount, ticket.reason, digest)
    return ticket_event(message, eventid, now, is_reminder=is_reminder)


def _cart_of(found: Snapshot, cartid: str) -> Cart:
    """Return the cart. Raises NotFound if it does not exist or belongs to another user."""
    entity = found.get(cart_key(cartid))
    cart = None if entity is None else to_cart(cartid, entity)
    if cart is None or not callers.current().may_see(cart.owner):
        raise NotFound("unknown-cart", f"there is no cart {cartid}")
    return cart


def _ticket_of(found: Snapshot, orderid: str) -> Ticket:
    """Return the ticket. Raises NotFound if it does not exist or belongs to another user."""
    entity = found.get(ticket_key(orderid))
    ticket = None if entity is None else to_ticket(orderid, entity)
    if ticket is None or not callers.current().may_see(ticket.owner):
        raise NotFound("unknown-order", f"there is no order {orderid}")
    return ticket


def _authorize_cart(found: Snapshot, cartid: str) -> None:
    """Raise NotFound if the cart exists and belongs to another user."""
    if found.get(cart_key(cartid)) is not None:
        _cart_of(found, cartid)
