"""Use cases of deliveries, each one transaction."""

from contract.ownership import may_read
from contract.reactions import Reaction, ignored_tickets
from contract.tickets import APPROVED, DELIVERY_ARRANGED, TicketMessage, must_agree, ticket_event
from sagakit.consumer import Outcome
from sagakit.errors import NotFound
from sagakit.inbox import Inbox
from sagakit.runtime import Runtime
from sagakit.store import Changes, Snapshot, Store
from services.delivery.shipment import ARRANGED, Shipment
from services.delivery.storage import delivery_key, shipment_entity, to_shipment


class UseCases:
    """Each method returns the state its transaction left, or raises Rejected and changes nothing."""

    def __init__(self, store: Store, inbox: Inbox, runtime: Runtime) -> None:
        self._store = store
        self._inbox = inbox
        self._runtime = runtime

    async def get_delivery(self, orderid: str) -> Shipment:
        shipment = _known(await self._store.read([delivery_key(orderid)]), orderid)
        if shipment is None or not may_read(orderid, shipment.owner_digest):
            raise NotFound("unknown-order", f"no delivery was arranged for an order {orderid}")
        return shipment

    async def arrange(self, eventid: str, ticket: TicketMessage) -> Outcome:
        """Arrange the delivery of an order once, and reply. Asked again (a new eventid), repeat the reply."""
        replyid, now = self._runtime.new_id(), self._runtime.now()

        def decide(found: Snapshot) -> Changes[Outcome]:
            before = _known(found, ticket.orderid)
            if before is not None and before.status != ARRANGED:
                return Changes(Outcome.UNKNOWN)
            if before is not None:
                must_agree(ticket, before.items, None)
            digest = ticket.owner_digest
            shipment = before or Shipment(ticket.orderid, ticket.cart_items, now, owner_digest=digest)
            writes = {} if before else {delivery_key(ticket.orderid): shipment_entity(shipment)}
            message = TicketMessage(ticket.orderid, DELIVERY_ARRANGED, shipment.items)
            reply = ticket_event(message, replyid, now)
            return Changes(Outcome.APPLIED, writes, [reply])

        once = self._inbox.once(eventid, decide, load=lambda _: Outcome.DUPLICATE)
        # Blind insert: an existing delivery causes a conflict, and is read then.
        return (await self._store.transact((), once)).result


REACTIONS = {APPROVED: Reaction(UseCases.arrange, replies=(DELIVERY_ARRANGED,))}
IGNORES = ignored_tickets(REACTIONS)


def _known(found: Snapshot, orderid: str) -> Shipment | None:
    entity = found.get(delivery_key(orderid))
    return None if entity is None else to_shipment(orderid, entity)
