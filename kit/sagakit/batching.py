"""Natural batching: transactions that become ready together, or during a call, share the next call.

A call costs the same whether it carries one transaction or ten. A lone one is made at once, as without
batching. A commit that only deletes waits a moment for another one that carries it.
"""

import asyncio
import builtins
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from sagakit.errors import OutcomeUnknown, SagaError, Unavailable
from sagakit.observer import Observer
from sagakit.shared_calls import SharedCalls
from sagakit.tables import MAX_LOOKUP_KEYS, MAX_MUTATIONS, Delete, Key, Mutation, Row, Tables


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Limits of one call of the database, and how many calls of a kind are in flight."""

    in_flight: int = 1
    """Lookups, and likewise commits, at a time: further ones wait, and share the next call."""
    keys: int = MAX_LOOKUP_KEYS
    """Keys in a lookup."""
    transactions: int = 25
    """Transactions in a commit: if one conflicts, all are repeated one by one."""
    mutations: int = MAX_MUTATIONS
    """Entities written by a commit."""
    bytes: int = 1_000_000
    """Text and bytes in a commit; a request may have ten times as many."""


class BatchedTables:
    """`Tables` whose lookups and commits share calls. Keeps each promise of `Tables` to each caller.

    A commit carries transactions that have no key in common. One that fails, because of a conflict or an
    entity that cannot be stored, was not applied: its transactions are repeated one by one, so that none
    fails because of another. One that the database did not answer is an OutcomeUnknown for each of them.
    """

    def __init__(self, tables: Tables, limits: BatchLimits, observer: Observer) -> None:
        self.due, self.page, self.expire = tables.due, tables.page, tables.expire
        self._lookups = _Lookups(tables, limits, observer)
        self._commits = _Commits(tables, limits, observer)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the calls that are in flight, with an error for a caller that still waits."""
        await asyncio.gather(self._lookups.close(), self._commits.close())

    async def lookup(self, keys: Sequence[Key]) -> dict[Key, Row]:
        """See `Tables.lookup`. What is returned was read after this call began."""
        return await self._lookups.call(keys)

    async def commit(self, mutations: Sequence[Mutation]) -> None:
        """See `Tables.commit`. Raises Unavailable, too, if it could not be sent in time."""
        await self._commits.call(mutations)


class _Lookups(SharedCalls[Sequence[Key], dict[Key, Row]]):
    def __init__(self, tables: Tables, limits: BatchLimits, observer: Observer) -> None:
        super().__init__(limits.in_flight)
        self._tables = tables
        self._limits = limits
        self._observer = observer

    async def alone(self, request: Sequence[Key]) -> dict[Key, Row]:
        self._observer.looked_up(len(request))
        return await self._tables.lookup(request)

    async def together(self, requests: Sequence[Sequence[Key]]) -> Sequence[dict[Key, Row]]:
        keys = dict.fromkeys(key for request in requests for key in request)
        found = await self.alone([*keys])
        return [{key: found[key] for key in request if key in found} for request in requests]

    def unanswered(self, why: str) -> SagaError:
        return Unavailable(why)

    def room(self) -> Callable[[Sequence[Key]], bool]:
        keys = 0

        def fits(request: Sequence[Key]) -> bool:
            nonlocal keys
            if keys and keys + len(request) > self._limits.keys:
                return False
            keys += len(request)
            return True

        return fits


class _Commits(SharedCalls[Sequence[Mutation], None]):
    def __init__(self, tables: Tables, limits: BatchLimits, observer: Observer) -> None:
        super().__init__(limits.in_flight)
        self._tables = tables
        self._limits = limits
        self._observer = observer

    async def alone(self, request: Sequence[Mutation]) -> None:
        self._observer.sent_commit(1)
        await self._tables.commit(request)

    async def together(self, requests: Sequence[Sequence[Mutation]]) -> Sequence[None]:
        self._observer.sent_commit(len(requests))
        await self._tables.commit([mutation for request in requests for mutation in request])
        return [None] * len(requests)

    def unanswered(self, why: str) -> SagaError:
        return OutcomeUnknown(why)

    def can_wait(self, request: Sequence[Mutation]) -> bool:
        # A larger one finds no room beside others.
        is_small = len(request) <= self._limits.mutations // 2
        return is_small and all(isinstance(mutation, Delete) for mutation in request)

    def room(self) -> Callable[[Sequence[Mutation]], bool]:
        keys: set[Key] = set()
        transactions = size = 0

        def fits(request: Sequence[Mutation]) -> bool:
            nonlocal transactions, size
            limits = self._limits
            if transactions == limits.transactions:
                return False
            own = {mutation.key for mutation in request}
            own_size = sum(_size(each.entity) for each in request if not isinstance(each, Delete))
            if transactions and (
                len(keys) + len(own) > limits.mutations
                or size + own_size > limits.bytes
                or not keys.isdisjoint(own)
            ):
                return False
            keys.update(own)
            transactions, size = transactions + 1, size + own_size
            return True

        return fits


def _size(value: Any) -> int:
    """Return about how many bytes a mutation or a property takes."""
    # By exact types: this runs for each property of each commit.
    match type(value):
        case builtins.str | builtins.bytes:
            return len(value)
        case builtins.dict:
            return sum(map(_size, value.values()))
        case builtins.list:
            return sum(map(_size, value))
    return 8
