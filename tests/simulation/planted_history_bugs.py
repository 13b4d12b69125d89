"""Planted bugs that only the answers show, not the records: what customers read, and in which order."""

from typing import Any
from unittest.mock import patch

from services.purchase import usecases
from services.purchase.commands import IdempotentCommands
from services.purchase.storage import cart_key, to_cart
from services.purchase.usecases import UseCases
from tests.simulation.bug import Planted


def carts_are_read_from_a_cache() -> Planted:
    """A process answers with the cart as it has read it first."""
    return _cached("get_cart")


def orders_are_read_from_a_cache() -> Planted:
    """A process answers with the status that it has read first, which others have seen change."""
    return _cached("get_order_ticket")


def a_repeat_is_answered_with_the_cart_as_it_is() -> Planted:
    """Nothing changes, but the first answer is not that of the repeat."""

    async def execute(self: Any, command: Any, keys: Any, decide: Any, codec: Any, **how: Any) -> Any:
        answer = await original(self, command, keys, decide, codec, **how)
        if codec is not usecases.CART_CODEC:
            return answer
        found = await self._store.read([cart_key(command.resource)])
        return to_cart(command.resource, found.get(cart_key(command.resource)))

    original = IdempotentCommands.execute
    return patch.object(IdempotentCommands, "execute", execute)


def _cached(name: str) -> Planted:
    seen: dict[tuple[int, str], Any] = {}

    async def read(self: UseCases, resource: str) -> Any:
        key = (id(self), resource)
        if key not in seen:
            seen[key] = await original(self, resource)
        return seen[key]

    original = getattr(UseCases, name)
    return patch.object(UseCases, name, read)


HISTORY_BUGS = (
    carts_are_read_from_a_cache,
    orders_are_read_from_a_cache,
    a_repeat_is_answered_with_the_cart_as_it_is,
)
