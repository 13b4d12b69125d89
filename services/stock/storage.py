"""Items, reservations and the catalogue as entities."""

from contract.tickets import CartItem
from sagakit.tables import Entity, Key
from services.stock.inventory import Item, Reservation

CATALOGUE = Key("StockCatalogue", "catalogue")
"""The itemids there are: lists them without a query."""


def item_key(itemid: str) -> Key:
    return Key("StockItem", itemid)


def item_entity(item: Item) -> Entity:
    return {
        "price": item.price,
        "stock": item.stock,
        "waives_payment": item.waives_payment,
        "reserved": item.reserved,
        "sold": item.sold,
    }


def to_item(itemid: str, entity: Entity) -> Item:
    return Item(itemid, **entity)


def reservation_key(orderid: str) -> Key:
    return Key("Reservation", orderid)


def reservation_entity(reservation: Reservation) -> Entity:
    return {
        "status": reservation.status,
        "items": [{"itemid": item.itemid, "count": item.count} for item in reservation.items],
        "amount": reservation.amount,
        "waives_payment": reservation.waives_payment,
        "reason": reservation.reason,
    }


def to_reservation(orderid: str, entity: Entity) -> Reservation:
    items = tuple(CartItem(**item) for item in entity["items"])
    return Reservation(orderid, **{**entity, "items": items})


def catalogue_entity(itemids: tuple[str, ...]) -> Entity:
    return {"itemids": itemids}


def to_catalogue(entity: Entity | None) -> tuple[str, ...]:
    return () if entity is None else tuple(entity["itemids"])
