"""Exhaustive exploration of the saga: every reachable state of an order, by the services' own use cases."""
