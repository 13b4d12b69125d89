"""What can be done with the inventory, each as one step."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from contract.tickets import AGAIN, PAID, RESERVE_FAILED, RESERVED, TicketMessage
from sagakit.consumer import Outcome
from sagakit.errors import NotAllowed, NotFound
from sagakit.events import Event, timestamp
from sagakit.inbox import Inbox
from sagakit.runtime import Runtime
from sagakit.store import Changes, Snapshot, Store
from sagakit.tables import Entity, Key
from sagakit.watch import Patience
from services.stock import inventory
from services.stock.inventory import REFUSED, RELEASED, SOLD, Item, Reservation, Shard, Stocked, Taken
from services.stock.storage import (
    CATALOGUE,
    catalogue_entity,
    item_entity,
    item_key,
    reservation_entity,
    reservation_key,
    shard_entities,
    shard_key,
    shard_keys,
    to_catalogue,
    to_item,
    to_reservation,
    to_shard,
)

PAGE = 100
MAX_ITEMS = 5_000
"""What the catalogue's one entity holds with room to spare: 1 MiB, at up to 128 bytes an itemid."""


class Reserved(NamedTuple):
    """What became of an order, and the items that were looked at for it."""

    outcome: Outcome
    items: Mapping[str, Item] = {}


class UseCases:
    """Each method answers with things as its step left them, or raises Rejected and changes nothing."""

    def __init__(self, store: Store, inbox: Inbox, runtime: Runtime, patience: Patience) -> None:
        self._store = store
        self._inbox = inbox
        self._runtime = runtime
        self._patience = patience
        # How many shards items were seen to have, to guess where to look. It may have grown since:
        # then what is looked up is still a shard of the item's, or the step asks for more.
        self._shards: dict[str, int] = {}

    async def get_item(self, itemid: str) -> Stocked:
        items = await self._stocked([itemid])
        if itemid not in items:
            raise NotFound("unknown-item", f"there is no item {itemid}")
        return items[itemid]

    async def list_items(self, page_size: int, page_token: str) -> tuple[list[Stocked], str]:
        """Items by itemid, from the one after `page_token`; and the token of the next page, if any."""
        itemids = to_catalogue((await self._store.read([CATALOGUE])).get(CATALOGUE))
        start = bisect_right(itemids, page_token)
        page = itemids[start : start + (page_size or PAGE)]
        if not page:
            return [], ""
        items = await self._stocked(page)
        return list(items.values()), page[-1] if page[-1] != itemids[-1] else ""

    async def put_item(
        self, itemid: str, price: int, stock: int, waives_payment: bool, only_if_absent: bool, shards: int
    ) -> Stocked:
        """`shards` 0: as many as it has."""

        def decide(found: Snapshot) -> Changes[Stocked]:
            before = _known(found, [itemid]).get(itemid)
            pieces = {} if before is None else _all_shards(found, before)
            if before is not None and only_if_absent:
                return Changes(inventory.stocked(before, pieces))
            item = Item(itemid, price, stock, waives_payment, shards or (before.shards if before else 1))
            changed = inventory.put(before, pieces, item)
            writes = {item_key(itemid): item_entity(item), **shard_entities(itemid, changed)}
            if before is None:
                writes[CATALOGUE] = catalogue_entity(_with(to_catalogue(found.get(CATALOGUE)), itemid))
            return Changes(inventory.stocked(item, changed or pieces), writes)

        return (await self._store.transact([*self._item_keys(itemid), CATALOGUE], decide)).result

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

        def decide(found: Snapshot) -> Changes[Reserved]:
            entity = found.get(key)
            if entity is not None:
                answers = _answers(to_reservation(ticket.orderid, entity), answerid, now)
                return Changes(Reserved(Outcome.APPLIED if answers else Outcome.IGNORED), {}, answers)
            items = _known(found, itemids)
            reservation = inventory.reserve(
                ticket.orderid, ticket.cart_items, items, _sufficient_shards(found, ticket, items), now
            )
            writes = {**self._written(reservation, now), **_changed(found, reservation, inventory.reserved)}
            answers = _answers(reservation, answerid, now)
            return Changes(Reserved(Outcome.APPLIED, items), writes, answers)

        once = self._inbox.once(eventid, decide, recall=lambda _: Reserved(Outcome.REPEATED))
        # The reservation is inserted blind: it is looked up only where one turns out to be there.
        changes = await self._store.transact(
            self._home_shard_keys(ticket), once, reading=[item_key(itemid) for itemid in itemids]
        )
        self._note(changes.result.items.values())
        return changes.result.outcome

    async def sell(self, eventid: str, ticket: TicketMessage) -> Outcome:
        """What was reserved for an order is sold."""
        return await self._settle(eventid, ticket, SOLD, inventory.sold)

    async def release(self, eventid: str, ticket: TicketMessage) -> Outcome:
        """What was reserved for an order is available again; where nothing was, nothing will be."""
        return await self._settle(eventid, ticket, RELEASED, inventory.released)

    def remind(self, orderid: str, entity: Entity, now: float, eventid: str) -> Changes[bool]:
        """Repeat the answer about an order whose pieces are neither sold nor released."""
        before = to_reservation(orderid, entity)
        reservation = inventory.repeated(before)
        answers = _answers(reservation, eventid, now, again=True)
        return Changes(True, self._written(reservation, now), answers)

    async def _settle(
        self, eventid: str, ticket: TicketMessage, status: str, change: Callable[[Shard, int], Shard]
    ) -> Outcome:
        key, now = reservation_key(ticket.orderid), self._runtime.now()

        def decide(found: Snapshot) -> Changes[Outcome]:
            entity = found.get(key)
            if entity is None:
                if status == SOLD:
                    return Changes(Outcome.IGNORED)
                return Changes(Outcome.APPLIED, self._written(inventory.tombstone(ticket.orderid, now), now))
            before = to_reservation(ticket.orderid, entity)
            if before.status != inventory.RESERVED:
                return Changes(Outcome.IGNORED)
            found.require(shard_key(taken.itemid, taken.shard) for taken in before.taken)
            after = inventory.settled(before, status, now)
            return Changes(Outcome.APPLIED, {**self._written(after, now), **_changed(found, before, change)})

        once = self._inbox.once(eventid, decide, recall=lambda _: Outcome.REPEATED)
        return (await self._store.transact([key, *self._home_shard_keys(ticket)], once)).result

    async def _stocked(self, itemids: Sequence[str]) -> dict[str, Stocked]:
        """Those of the items that there are, as of one moment."""

        def look(found: Snapshot) -> dict[str, Stocked]:
            items = _known(found, itemids)
            found.require(key for item in items.values() for key in _shard_keys(item))
            return {
                itemid: inventory.stocked(item, _all_shards(found, item)) for itemid, item in items.items()
            }

        stocked = await self._store.view([key for itemid in itemids for key in self._item_keys(itemid)], look)
        self._note(each.item for each in stocked.values())
        return stocked

    def _note(self, items: Iterable[Item]) -> None:
        self._shards.update((item.itemid, item.shards) for item in items)

    def _item_keys(self, itemid: str) -> list[Key]:
        return [item_key(itemid), *shard_keys(itemid, range(self._shards.get(itemid, 1)))]

    def _home_shard_keys(self, ticket: TicketMessage) -> list[Key]:
        return [
            shard_key(itemid, inventory.home_shard(ticket.orderid, self._shards.get(itemid, 1)))
            for itemid in dict.fromkeys(item.itemid for item in ticket.cart_items)
        ]

    def _written(self, reservation: Reservation, now: float) -> dict[Key, Entity]:
        waits = reservation.status == inventory.RESERVED
        due = self._patience.until(now, reservation.repeats) if waits else None
        return {reservation_key(reservation.orderid): reservation_entity(reservation, due)}


def _known(found: Snapshot, itemids: Sequence[str]) -> dict[str, Item]:
    entities = {itemid: found.get(item_key(itemid)) for itemid in itemids}
    return {itemid: to_item(itemid, entity) for itemid, entity in entities.items() if entity is not None}


def _shard_keys(item: Item) -> list[Key]:
    return shard_keys(item.itemid, range(item.shards))


def _all_shards(found: Snapshot, item: Item) -> dict[int, Shard]:
    found.require(_shard_keys(item))
    return _shards(found, item)


def _shards(found: Snapshot, item: Item) -> dict[int, Shard]:
    """Those of the item's shards that were looked up."""
    entities = {number: found.get(key) for number, key in enumerate(_shard_keys(item))}
    return {number: to_shard(entity) for number, entity in entities.items() if entity is not None}


def _sufficient_shards(
    found: Snapshot, ticket: TicketMessage, items: Mapping[str, Item]
) -> dict[str, dict[int, Shard]]:
    """Shards enough for the order, or all there are of what is short."""
    shards = {itemid: _shards(found, item) for itemid, item in items.items()}
    short = inventory.short(ticket.orderid, ticket.cart_items, items, shards)
    found.require(key for itemid in short for key in _shard_keys(items[itemid]))
    return shards


def _changed(
    found: Snapshot, reservation: Reservation, change: Callable[[Shard, int], Shard]
) -> dict[Key, Entity]:
    """The shards that gave pieces to the order, each after `change`."""

    def changed(taken: Taken) -> Shard:
        entity = found.get(shard_key(taken.itemid, taken.shard))
        if entity is None:
            raise LookupError(f"{taken.itemid} has lost its shard {taken.shard}")
        return change(to_shard(entity), taken.count)

    writes: dict[Key, Entity] = {}
    for taken in reservation.taken:
        writes |= shard_entities(taken.itemid, {taken.shard: changed(taken)})
    return writes


def _with(itemids: tuple[str, ...], itemid: str) -> tuple[str, ...]:
    if len(itemids) >= MAX_ITEMS:
        raise NotAllowed("catalogue-full", f"the catalogue holds at most {MAX_ITEMS} items")
    return tuple(sorted({*itemids, itemid}))


def _answers(reservation: Reservation, eventid: str, now: float, *, again: bool = False) -> list[Event]:
    """What the service says about an order, now and whenever it is asked again; settled, nothing."""
    if reservation.status in {SOLD, RELEASED}:
        return []
    status, amount = RESERVED, reservation.amount
    if reservation.status == REFUSED:
        status = RESERVE_FAILED
    elif reservation.waives_payment:
        status, amount = PAID, None
    message = TicketMessage(reservation.orderid, status, reservation.items, amount, reservation.reason)
    marks = {AGAIN: "true"} if again else {}
    return [message.to_event(eventid, {"time": timestamp(now), **marks})]
