"""Points as entities."""

from sagakit.tables import Entity, Key

POINTS = "LoyaltyPoints"


def points_key(orderid: str) -> Key:
    return Key(POINTS, orderid)


def points_entity(points: int) -> Entity:
    return {"points": points}
