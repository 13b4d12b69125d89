"""Run a program as a future release would: `python -m tests.chaos.future services.stock`.

It writes more than this version knows: a field in every entity (nested ones too), event, row of outbox and
inbox, request and response, and a status that is never final. All of that is missing in what it reads.
"""

import runpy
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import structlog

from sagakit import codec, outbox
from sagakit.inbox import Inbox
from sagakit.store import Changes, Decide, Snapshot, Store
from sagakit.tables import Key

ADDED = {"added_later": {"by": "a newer release"}}
NEW_STATUS = "being-packed"
STORED = "stored by a newer release"
"""Message of a log line about the entities of a commit, with how many added fields each had."""
_NEW_FIELD = bytes([0xF8, 0x3F, 0x01])
"""Field 1023 with the value 1, as protobuf encodes it: appended to a message, it is part of it."""


def add_fields() -> None:
    """Add a field to whatever is stored or published as JSON."""
    to_entity, outbox_entity, once = codec.to_entity, outbox._entity, Inbox.once

    def later_once(
        self: Inbox, name: str, decide: Any, *, dump: Callable[[Any], Any] = lambda _: {}, **rest: Any
    ) -> Any:
        return once(self, name, decide, dump=lambda result: {**dump(result), **ADDED}, **rest)

    codec.to_entity = lambda value, **how: {**to_entity(value, **how), **ADDED}
    outbox._entity = lambda event, due: {**outbox_entity(event, due), **ADDED}
    Inbox.once = later_once  # type: ignore[method-assign]


def add_status() -> None:
    """Publish, after every arranged delivery, an event with a status that older releases do not know."""
    transact = Store.transact

    async def later_transact(
        self: Store, keys: Sequence[Key], decide: Decide[Any], **how: Any
    ) -> Changes[Any]:
        eventid = self._runtime.new_id()

        def later(found: Snapshot) -> Changes[Any]:
            changes = decide(found)
            more = [
                replace(
                    event, eventid=eventid, body=event.body.replace(b"delivery-arranged", NEW_STATUS.encode())
                )
                for event in changes.events
                if b"delivery-arranged" in event.body
            ]
            return replace(changes, events=(*changes.events, *more)) if more else changes

        return await transact(self, keys, later, **how)

    Store.transact = later_transact  # type: ignore[method-assign]


def log_commits() -> None:
    """Log what is committed, so that it can be compared with what other versions have made of it."""
    transact = Store.transact

    async def logged_transact(
        self: Store, keys: Sequence[Key], decide: Decide[Any], **how: Any
    ) -> Changes[Any]:
        changes = await transact(self, keys, decide, **how)
        stored = [[*key, count_added(entity)] for key, entity in changes.writes.items()]
        structlog.get_logger().info(STORED, stored=stored)
        return changes

    Store.transact = logged_transact  # type: ignore[method-assign]


def count_added(value: Any) -> int:
    """Return how many of the added fields a stored value has, at any depth."""
    if isinstance(value, Mapping):
        return len(ADDED.keys() & value.keys()) + sum(map(count_added, value.values()))
    return sum(map(count_added, value)) if isinstance(value, list | tuple) else 0


def add_rpc_fields() -> None:
    """Add a field to every request and response of unary RPCs."""
    handler, call = grpc.unary_unary_rpc_method_handler, grpc.aio._channel.Channel.unary_unary

    def later_handler(behavior: Any, request_deserializer: Any, response_serializer: Any) -> Any:
        return handler(behavior, request_deserializer, lambda each: response_serializer(each) + _NEW_FIELD)

    def later_call(self: Any, method: str, request_serializer: Any, *rest: Any, **more: Any) -> Any:
        return call(self, method, lambda each: request_serializer(each) + _NEW_FIELD, *rest, **more)

    grpc.unary_unary_rpc_method_handler = later_handler
    grpc.aio._channel.Channel.unary_unary = later_call  # type: ignore[method-assign]


if __name__ == "__main__":
    add_fields()
    add_status()
    log_commits()
    add_rpc_fields()
    module = sys.argv[1]
    del sys.argv[1]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
