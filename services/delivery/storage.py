"""Shipments as entities."""

from dataclasses import asdict

from contract.tickets import CartItem
from sagakit.tables import Entity, Key
from services.delivery.shipment import Shipment

DELIVERY = "Delivery"


def delivery_key(orderid: str) -> Key:
    return Key(DELIVERY, orderid)


def shipment_entity(shipment: Shipment) -> Entity:
    items = [asdict(item) for item in shipment.items]
    return {"items": items, "time": shipment.time, "status": shipment.status}


def to_shipment(orderid: str, entity: Entity) -> Shipment:
    items = tuple(CartItem(**item) for item in entity["items"])
    return Shipment(orderid, items, entity["time"], entity["status"])
