"""Items, shards, reservations and the catalogue as entities."""

from collections.abc import Iterable, Mapping

from sagakit.codec import from_entity, to_entity
from sagakit.reminders import due_property
from sagakit.tables import Entity, Key
from services.stock.inventory import Item, ItemList, Reservation, Shard

CATALOGUE = Key("StockCatalogue", "catalogue")
"""All itemids, so that they are listed without a query."""
ITEM, SHARD, RESERVATION = "StockItem", "StockShard", "Reservation"
_STORED_NAMES = {"allocations": "taken", "reminders_sent": "repeats"}


def item_key(itemid: str) -> Key:
    return Key(ITEM, itemid)


def item_entity(item: Item) -> Entity:
    return to_entity(item, exclude=("itemid",))


def to_item(itemid: str, entity: Entity) -> Item:
    return from_entity(Item, entity, itemid=itemid)


def shard_key(itemid: str, number: int) -> Key:
    # An itemid cannot contain a colon.
    return Key(SHARD, f"{itemid}:{number}")


def shard_keys(itemid: str, numbers: Iterable[int]) -> list[Key]:
    return [shard_key(itemid, number) for number in numbers]


def shard_entities(itemid: str, shards: Mapping[int, Shard]) -> dict[Key, Entity]:
    return {shard_key(itemid, number): to_entity(shard) for number, shard in shards.items()}


def to_shard(entity: Entity) -> Shard:
    return from_entity(Shard, entity)


def reservation_key(orderid: str) -> Key:
    return Key(RESERVATION, orderid)


def reservation_entity(reservation: Reservation, due: float | None) -> Entity:
    """`due` (seconds since the epoch): time of the next reminder; None: settled."""
    entity = to_entity(reservation, exclude=("orderid",), rename=_STORED_NAMES, omit_none=("owner_digest",))
    return {**entity, **due_property(reservation.orderid, due)}


def to_reservation(orderid: str, entity: Entity) -> Reservation:
    return from_entity(Reservation, entity, rename=_STORED_NAMES, orderid=orderid)


def to_catalogue(entity: Entity | None) -> ItemList:
    return from_entity(ItemList, entity or {})
