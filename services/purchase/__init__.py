"""Carts, and the order tickets they become."""
