"""Steps to test the kit with: a counter that says what it did."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from sagakit.bus import Message
from sagakit.errors import Rejected
from sagakit.events import Event
from sagakit.inbox import Inbox
from sagakit.outbox import Outbox
from sagakit.relay import Relay
from sagakit.runtime import Runtime
from sagakit.store import Changes, Decide, Snapshot, Store
from sagakit.tables import Entity, Key, Tables

COUNTER = Key("Counter", "a")
TOPIC = "counts"

OUTBOX = "CounterPublishEvent"
INBOX = "CounterReceivedEvent"


class SilentBus:
    """Takes nothing and answers nothing: what a store does with its relay is of no interest."""

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        await asyncio.Event().wait()


def a_store(tables: Tables, runtime: Runtime | None = None, relay: Relay | None = None) -> Store:
    """As each process has one of its own."""
    runtime = runtime or Runtime()
    outbox = Outbox(OUTBOX, runtime)
    return Store(tables, outbox, relay or Relay(tables, SilentBus(), TOPIC, outbox, runtime), runtime)


def an_inbox(runtime: Runtime | None = None) -> Inbox:
    return Inbox(INBOX, runtime or Runtime())


def an_event(eventid: str = "said", **attributes: str) -> Event:
    return Event(eventid, "counter.Counted", b'{"n": 1}', attributes)


def counting(
    key: Key = COUNTER, events: Iterable[Event] = (), each_time: Callable[[int], None] = lambda _: None
) -> Decide[int]:
    """One more than was found; `each_time` hears what was."""

    def decide(found: Snapshot) -> Changes[int]:
        before = (found.get(key) or {"n": 0})["n"]
        each_time(before)
        return Changes(before + 1, {key: {"n": before + 1}}, list(events))

    return decide


def refusing(reason: str = "no") -> Decide[int]:
    def decide(_: Snapshot) -> Changes[int]:
        raise Rejected(reason, "not like this")

    return decide


def once(name: str, decide: Decide[int], inbox: Inbox | None = None) -> Decide[int]:
    """`decide`, applied once under that name; a duplicate answers with what was answered then."""
    return (inbox or an_inbox()).once(
        name, decide, load=lambda row: row["answer"], dump=lambda answer: {"answer": answer}
    )


async def count_in(tables: Tables, key: Key = COUNTER) -> int:
    row = (await tables.lookup([key])).get(key)
    return 0 if row is None else row.entity["n"]


async def entities(tables: Tables, *keys: Key) -> dict[Key, Entity]:
    return {key: row.entity for key, row in (await tables.lookup(keys)).items()}
