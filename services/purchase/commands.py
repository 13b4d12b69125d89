"""Commands: calls that their callers named: a repeat is answered as the first was, and changes nothing."""

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
"""Why a commandid that was there already is an invalid argument."""


@dataclass(frozen=True, slots=True)
class Command:
    """What was asked for. Its name means something to the one cart or order it is about, and nowhere else."""

    commandid: str
    """As the caller calls it; "": it has no name, and a repeat is a call of its own."""
    resource: str
    request: Entity
    """What was asked for, as it is compared with a repeat."""


@dataclass(frozen=True, slots=True)
class ResultCodec(Generic[R]):
    """How the answer to a command is kept."""

    dump: Callable[[R], Entity]
    load: Callable[[Entity], R]


class IdempotentCommands:
    """Runs the steps that commands ask for; the answer is kept in the commit of the step."""

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
        authorize: Callable[[Snapshot, str], None] = lambda *_: None,
        retry_unknown: bool = True,
    ) -> R:
        """What `decide` answers, or what it answered to that command before.

        Raises InvalidArgument where the command's name was used for another request, and what
        `decide` raises; then nothing is remembered. `authorize` is asked before anything is recalled, and
        raises where what the command is about is none of the caller's business. `retry_unknown`: as in
        `Store.transact`, of a command without a name.
        """
        if not command.commandid:
            return (await self._store.transact(keys, decide, retry_unknown=retry_unknown)).result
        name = f"{command.resource}:{command.commandid}"
        # Names outlive carts that expire: who opens the next one under the same id is told nothing of it.
        request = {**command.request, "by": callers.current().sub}
        once = self._inbox.once(
            name,
            decide,
            dump=lambda result: {"request": request, "answer": codec.dump(result)},
            load=lambda row: codec.load(_checked(row, request)["answer"]),
            # Else a repeat of what changed nothing could change what somebody has done meanwhile.
            always=True,
        )

        def authorized(found: Snapshot) -> Changes[R]:
            authorize(found, command.resource)
            return once(found)

        # Where anything is looked up, so is the inbox row: things may be in a state that refuses a repeat.
        return (
            await self._store.transact([*keys, *([self._inbox.key(name)] if keys else [])], authorized)
        ).result


def _checked(row: Entity, request: Entity) -> Entity:
    if row["request"] != request:
        raise InvalidArgument("commandid", "this commandid was used for another request", REUSED)
    return row
