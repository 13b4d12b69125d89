"""Use cases of the services over any tables, with what they say caught in the outbox."""

from collections.abc import Callable
from typing import Any, TypeVar

from contract.tickets import TicketMessage
from sagakit.events import Event
from sagakit.inbox import Inbox
from sagakit.outbox import Outbox
from sagakit.relay import Relay
from sagakit.reminders import ReminderSchedule
from sagakit.runtime import Runtime
from sagakit.store import Store
from sagakit.tables import Tables

U = TypeVar("U")

OUTBOX, INBOX = "PublishEvent", "ReceivedEvent"


def over(tables: Tables, build: Callable[..., U], *more: Any, runtime: Runtime | None = None) -> U:
    """Use cases over `tables`; their relay is not running, so that only steps happen."""
    runtime = runtime or Runtime()
    outbox = Outbox(OUTBOX, runtime)
    store = Store(tables, outbox, Relay(tables, None, "topic", outbox, runtime), runtime)
    return build(store, Inbox(INBOX, runtime), runtime, *more)


def said(rows: Any) -> list[TicketMessage]:
    """What is in the outbox of MemoryTables' `rows`, the oldest first."""
    mine = [(row.version, key, row.entity) for key, row in rows.items() if key.kind == OUTBOX]
    return [
        TicketMessage.from_event(Event(key.name, entity["type"], entity["body"], entity["attributes"]))
        for _, key, entity in sorted(mine, key=lambda each: each[0])
    ]


REMINDERS = ReminderSchedule(15)
