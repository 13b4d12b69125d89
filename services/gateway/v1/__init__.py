"""The resources under /v1: carts, orders and the catalogue, over the same services as the older routes."""
