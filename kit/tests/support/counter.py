"""A counter to test the kit with: transactions on one entity, and the store they run in."""

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
INBOX_ROW, OUTBOX_ROW = Key(INBOX, "e1"), Key(OUTBOX, "published")
"""The rows of the event e1 that was applied, and of `an_event` that was published."""


class SilentBus:
    """Never answers: for stores whose relay does not matter."""

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        await asyncio.Event().wait()


def a_store(tables: Tables, runtime: Runtime | None = None, relay: Relay | None = None) -> Store:
    """Return a store, as each process has its own."""
    runtime = runtime or Runtime()
    outbox = Outbox(OUTBOX, runtime)
    return Store(tables, outbox, relay or Relay(tables, SilentBus(), TOPIC, outbox, runtime), runtime)


def an_inbox(runtime: Runtime | None = None) -> Inbox:
    return Inbox(INBOX, runtime or Runtime())


def an_event(eventid: str = "published", **attributes: str) -> Event:
    return Event(eventid, "counter.Counted", b'{"n": 1}', attributes)


def counting(
    key: Key = COUNTER, events: Iterable[Event] = (), each_time: Callable[[int], None] = lambda _: None
) -> Decide[int]:
    """Increment the counter; `each_time` is called with the number found."""

    def decide(found: Snapshot) -> Changes[int]:
        before = (found.get(key) or {"n": 0})["n"]
        each_time(before)
        return Changes(before + 1, {key: {"n": before + 1}}, list(events))

    return decide


def rejecting(_: Snapshot) -> Changes[int]:
    raise Rejected("no", "rejected")


def once(name: str, decide: Decide[int], inbox: Inbox | None = None) -> Decide[int]:
    """Apply `decide` once under that name; a duplicate gets the first result."""
    return (inbox or an_inbox()).once(
        name, decide, load=lambda row: row["answer"], dump=lambda answer: {"answer": answer}
    )


async def count_in(tables: Tables, key: Key = COUNTER) -> int:
    row = (await tables.lookup([key])).get(key)
    return 0 if row is None else row.entity["n"]


async def entities(tables: Tables, *keys: Key) -> dict[Key, Entity]:
    return {key: row.entity for key, row in (await tables.lookup(keys)).items()}


ENVIRON = {
    "BACKEND": "embedded",
    "EMBEDDED_FILE": "none",
    "EVENT_PUBLISH_TOPIC": "counts",
    "EVENT_SUBSCRIBE_TOPICS": "things",
    "EVENT_DEAD_LETTER_TOPIC": "dead",
    "PORT": "0",
}
"""The settings of its service."""
