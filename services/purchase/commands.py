"""Idempotent commands: a call repeated with its commandid returns the first result and changes nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sagakit.auth import caller as callers
from sagakit.errors import InvalidArgument
from sagakit.inbox import Inbox
from sagakit.store import Changes, Decide, Snapshot, Store
from sagakit.tables import Entity, Key

R = TypeVar("R")

REUSED = "commandid-reused"
"""Reason of the InvalidArgument for a commandid that was used for another request."""


@dataclass(frozen=True, slots=True)
class Command:
    """A request that can be repeated. Its commandid is unique within its resource."""

    commandid: str
    """Client-supplied idempotency key; "" disables deduplication."""
    resource: str
    """Id of the cart or order it is about."""
    request: Entity
    """The parameters, compared with those of a repeat."""


@dataclass(frozen=True, slots=True)
class ResultCodec(Generic[R]):
    """How the result of a command is stored."""

    dump: Callable[[R], Entity]
    load: Callable[[Entity], R]


class IdempotentCommands:
    """Runs the transactions of commands; each result is stored in the same commit."""

    def __init__(self, store: Store, inbox: Inbox) -> None:
        self._store = store
        self._inbox = inbox

    async def execute(
        self,
        command: Command,
        keys: Sequence[Key],
        decide: Decide[R],
        codec: ResultCodec[R],
        *,
        authorize: Callable[[Snapshot, str], object] = lambda *_: None,
        retry_unknown: bool = True,
    ) -> R:
        """Return the result of `decide`, or the stored result if the command ran before.

        Raises InvalidArgument if its commandid was used for another request, and whatever `decide` raises;
        then nothing is stored. `authorize` runs before a stored result is returned, and raises if the caller
        may not see the resource. `retry_unknown`: retry a commit with an unknown outcome; applies to a
        command without a commandid (one with a commandid is always retried).
        """
        if not command.commandid:
            return (await self._store.transact(keys, decide, retry_unknown=retry_unknown)).result
        name = f"{command.resource}:{command.commandid}"
        # A name outlives a cart that expires: the caller who creates the next cart with the same id must not
        # receive results of the earlier one.
        request = {**command.request, "by": callers.current().sub}
        once = self._inbox.once(
            name,
            decide,
            dump=lambda result: {"request": request, "answer": codec.dump(result)},
            load=lambda row: codec.load(_checked(row, request)["answer"]),
            # A result without changes is stored too: else a repeat could apply to a later state.
            always=True,
        )

        def authorized(found: Snapshot) -> Changes[R]:
            authorize(found, command.resource)
            return once(found)

        # The inbox row is read together with the rest: in the current state `decide` may reject a repeat.
        inbox_keys = [self._inbox.key(name)] if keys else []
        return (await self._store.transact([*keys, *inbox_keys], authorized)).result


def _checked(row: Entity, request: Entity) -> Entity:
    # A newer release may have stored more about the request.
    stored = row["request"]
    if {name: stored.get(name) for name in request} != request:
        raise InvalidArgument("commandid", "this commandid was used for another request", REUSED)
    return row
