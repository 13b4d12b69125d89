"""Shipments as entities."""

from sagakit.codec import from_entity, to_entity
from sagakit.tables import Entity, Key
from services.delivery.shipment import Shipment

DELIVERY = "Delivery"


def delivery_key(orderid: str) -> Key:
    return Key(DELIVERY, orderid)


def shipment_entity(shipment: Shipment) -> Entity:
    return to_entity(shipment, exclude=("orderid",), omit_none=("owner_digest",))


def to_shipment(orderid: str, entity: Entity) -> Shipment:
    return from_entity(Shipment, entity, orderid=orderid)
