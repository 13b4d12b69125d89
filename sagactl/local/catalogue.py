"""The starting catalogue, for local use: one item for each way an order can go."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CatalogueItem:
    """What an item starts with."""

    itemid: str
    price: int
    """For one piece, in minor units of the currency."""
    stock: int
    waives_payment: bool = False
    shards: int = 1
    """Into how many parts its stock is split."""


CATALOGUE = (
    CatalogueItem("blue", price=100, stock=100_000, shards=8),
    CatalogueItem("red", price=50, stock=100_000, waives_payment=True, shards=8),
    CatalogueItem("yellow", price=100, stock=0),  # sold out
    CatalogueItem("gold", price=1_000_000, stock=10),  # beyond what a payment may be
)
