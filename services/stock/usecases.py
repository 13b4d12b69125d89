"""What can be done with the inventory, each as one step."""

from bisect import bisect_right
from collections.abc import Sequence

from contract.tickets import PAID, RESERVE_FAILED, RESERVED, TicketMessage
from sagakit.consumer import Outcome
from sagakit.errors import NotAllowed, NotFound
from sagakit.events import timestamp
from sagakit.inbox import Inbox
from sagakit.runtime import Runtime
from sagakit.store import Changes, Snapshot, Store
from sagakit.tables import Entity, Key
from services.stock import inventory
from services.stock.inventory import REFUSED, Item, Reservation
from services.stock.storage import (
    CATALOGUE,
    catalogue_entity,
    item_entity,
    item_key,
    reservation_entity,
    reservation_key,
    to_catalogue,
    to_item,
    to_reservation,
)

PAGE = 100
MAX_ITEMS = 5_000
"""What the catalogue's one entity holds with room to spare: 1 MiB, at up to 128 bytes an itemid."""


class UseCases:
    """Each method answers with things as its step left them, or raises Rejected and changes nothing."""

    def __init__(self, store: Store, inbox: Inbox, runtime: Runtime) -> None:
        self._store = store
        self._inbox = inbox
        self._runtime = runtime

    async def get_item(self, itemid: str) -> Item:
        entity = (await self._store.read([item_key(itemid)])).get(item_key(itemid))
        if entity is None:
            raise NotFound("unknown-item", f"there is no item {itemid}")
        return to_item(itemid, entity)

    async def list_items(self, page_size: int, page_token: str) -> tuple[list[Item], str]:
        """Items by itemid, from the one after `page_token`; and the token of the next page, if any."""
        itemids = to_catalogue((await self._store.read([CATALOGUE])).get(CATALOGUE))
        start = bisect_right(itemids, page_token)
        page = itemids[start : start + (page_size or PAGE)]
        if not page:
            return [], ""
        items = _known(await self._store.read([item_key(itemid) for itemid in page]), page)
        return list(items.values()), page[-1] if page[-1] != itemids[-1] else ""

    async def put_item(
        self, itemid: str, price: int, stock: int, waives_payment: bool, only_if_absent: bool
    ) -> Item:
        def decide(found: Snapshot) -> Changes[Item]:
            entity = found.get(item_key(itemid))
            before = None if entity is None else to_item(itemid, entity)
            if before is not None and only_if_absent:
                return Changes(before)
            item = inventory.put(before, itemid, price, stock, waives_payment)
            writes: dict[Key, Entity] = {item_key(itemid): item_entity(item)}
            if before is None:
                writes[CATALOGUE] = catalogue_entity(_with(to_catalogue(found.get(CATALOGUE)), itemid))
            return Changes(item, writes)

        return (await self._store.transact([item_key(itemid), CATALOGUE], decide)).result

    async def get_reservation(self, orderid: str) -> Reservation:
        entity = (await self._store.read([reservation_key(orderid)])).get(reservation_key(orderid))
        if entity is None:
            raise NotFound("unknown-order", f"nothing was decided about an order {orderid}")
        return to_reservation(orderid, entity)

    async def reserve(self, eventid: str, ticket: TicketMessage) -> Outcome:
        """Decide about an order once, and answer. Asked again (a new eventid), repeat the first answer."""
        itemids = tuple(dict.fromkeys(item.itemid for item in ticket.cart_items))
        answerid, now = self._runtime.new_id(), self._runtime.now()
        key = reservation_key(ticket.orderid)

        def decide(found: Snapshot) -> Changes[Outcome]:
            entity = found.get(key)
            writes: dict[Key, Entity] = {}
            if entity is not None:
                reservation = to_reservation(ticket.orderid, entity)
            else:
                known = _known(found, itemids)
                reservation, changed = inventory.reserve(ticket.orderid, ticket.cart_items, known)
                writes = {item_key(itemid): item_entity(item) for itemid, item in changed.items()}
                writes[key] = reservation_entity(reservation)
            answer = _answer(ticket, reservation).to_event(answerid, {"time": timestamp(now)})
            return Changes(Outcome.APPLIED, writes, [answer])

        once = self._inbox.once(eventid, decide, recall=lambda _: Outcome.REPEATED)
        # The reservation is inserted blind: it is looked up only where one turns out to be there.
        return (await self._store.transact([item_key(itemid) for itemid in itemids], once)).result


def _known(found: Snapshot, itemids: Sequence[str]) -> dict[str, Item]:
    entities = {itemid: found.get(item_key(itemid)) for itemid in itemids}
    return {itemid: to_item(itemid, entity) for itemid, entity in entities.items() if entity is not None}


def _with(itemids: tuple[str, ...], itemid: str) -> tuple[str, ...]:
    if len(itemids) >= MAX_ITEMS:
        raise NotAllowed("catalogue-full", f"the catalogue holds at most {MAX_ITEMS} items")
    return tuple(sorted({*itemids, itemid}))


def _answer(ticket: TicketMessage, reservation: Reservation) -> TicketMessage:
    """What the service says about an order, now and whenever it is asked again."""
    if reservation.status == REFUSED:
        return TicketMessage(ticket.orderid, RESERVE_FAILED, ticket.cart_items, reason=reservation.reason)
    if reservation.waives_payment:
        return TicketMessage(ticket.orderid, PAID, ticket.cart_items)
    return TicketMessage(ticket.orderid, RESERVED, ticket.cart_items, amount=reservation.amount)
