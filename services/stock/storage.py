"""Items, shards, reservations and the catalogue as entities."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict

from contract.tickets import CartItem
from sagakit.reminders import due_property
from sagakit.tables import Entity, Key
from services.stock.inventory import Allocation, Item, Reservation, Shard

CATALOGUE = Key("StockCatalogue", "catalogue")
"""All itemids, so that they are listed without a query."""
ITEM, SHARD, RESERVATION = "StockItem", "StockShard", "Reservation"


def item_key(itemid: str) -> Key:
    return Key(ITEM, itemid)


def item_entity(item: Item) -> Entity:
    return {
        "price": item.price,
        "stock": item.stock,
        "waives_payment": item.waives_payment,
        "shards": item.shards,
    }


def to_item(itemid: str, entity: Entity) -> Item:
    return Item(itemid, **entity)


def shard_key(itemid: str, number: int) -> Key:
    # An itemid cannot contain a colon.
    return Key(SHARD, f"{itemid}:{number}")


def shard_keys(itemid: str, numbers: Iterable[int]) -> list[Key]:
    return [shard_key(itemid, number) for number in numbers]


def shard_entities(itemid: str, shards: Mapping[int, Shard]) -> dict[Key, Entity]:
    return {shard_key(itemid, number): asdict(shard) for number, shard in shards.items()}


def to_shard(entity: Entity) -> Shard:
    return Shard(**entity)


def reservation_key(orderid: str) -> Key:
    return Key(RESERVATION, orderid)


def reservation_entity(reservation: Reservation, due: float | None) -> Entity:
    """`due` (seconds since the epoch): time of the next reminder; None: settled."""
    return {
        "status": reservation.status,
        "items": [asdict(item) for item in reservation.items],
        "taken": [asdict(allocation) for allocation in reservation.allocations],
        "amount": reservation.amount,
        "waives_payment": reservation.waives_payment,
        "reason": reservation.reason,
        "time": reservation.time,
        "settled_time": reservation.settled_time,
        "repeats": reservation.reminders_sent,
        **due_property(reservation.orderid, due),
    }


def to_reservation(orderid: str, entity: Entity) -> Reservation:
    return Reservation(
        orderid=orderid,
        status=entity["status"],
        items=tuple(CartItem(**item) for item in entity["items"]),
        allocations=tuple(Allocation(**allocation) for allocation in entity["taken"]),
        amount=entity["amount"],
        waives_payment=entity["waives_payment"],
        reason=entity["reason"],
        time=entity["time"],
        settled_time=entity["settled_time"],
        reminders_sent=entity["repeats"],
    )


def catalogue_entity(itemids: tuple[str, ...]) -> Entity:
    return {"itemids": itemids}


def to_catalogue(entity: Entity | None) -> tuple[str, ...]:
    return () if entity is None else tuple(entity["itemids"])
