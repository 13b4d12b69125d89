"""Harnesses for use cases over tables in memory: their transactions run, their events stay in the outbox."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from contract.tickets import TicketMessage
from sagakit.consumer import Outcome
from sagakit.events import REMINDER_ATTRIBUTE, Event
from sagakit.inbox import Inbox
from sagakit.outbox import Outbox
from sagakit.relay import Relay
from sagakit.reminders import REMINDER_BURST, Reminders, ReminderSchedule
from sagakit.runtime import Runtime
from sagakit.store import Store
from sagakit.sweeper import Sweeper
from sagakit.tables import DUE, Key, Row, Tables
from sagakit.testing.clock import Clock
from sagakit.testing.tables import MemoryTables
from services.purchase.storage import TICKET
from services.purchase.ticket import Report, Ticket
from services.purchase.usecases import UseCases as Purchase
from tests.support.metrics import Measured

U = TypeVar("U")

OUTBOX, INBOX = "PublishEvent", "ReceivedEvent"
REMINDERS = ReminderSchedule(15)
DEADLINE = 100.0
"""Order deadline of PurchaseHarness, in seconds."""


def use_cases(tables: Tables, build: Callable[..., U], *more: Any, runtime: Runtime | None = None) -> U:
    """Return use cases over `tables`; their relay is not running."""
    runtime = runtime or Runtime()
    outbox = Outbox(OUTBOX, runtime)
    store = Store(tables, outbox, Relay(tables, None, "topic", outbox, runtime), runtime)
    return build(store, Inbox(INBOX, runtime), runtime, *more)


def outbox_rows(rows: Mapping[Key, Row]) -> list[tuple[TicketMessage, Mapping[str, str]]]:
    """Return the events in the outbox, oldest first, each with its attributes."""
    mine = [(row.version, key.name, row.entity) for key, row in rows.items() if key.kind == OUTBOX]
    return [
        (TicketMessage.from_event(Event(name, entity["type"], entity["body"])), entity["attributes"])
        for _, name, entity in sorted(mine, key=lambda each: each[0])
    ]


class Harness:
    """Tables in memory and a virtual clock for one service's use cases; sleeping takes no time."""

    def __init__(self) -> None:
        self.tables = MemoryTables()
        self.clock = Clock()
        self.runtime = replace(self.clock.runtime(), sleep=lambda _: asyncio.sleep(0))

    def use_cases(self, build: Callable[..., U], *more: Any, tables: Tables | None = None) -> U:
        return use_cases(tables or self.tables, build, *more, runtime=self.runtime)

    @property
    def published(self) -> list[TicketMessage]:
        return [ticket for ticket, _ in outbox_rows(self.tables.rows)]

    @property
    def statuses(self) -> list[str]:
        return [ticket.status for ticket in self.published]

    @property
    def attributes(self) -> list[Mapping[str, str]]:
        """The attributes of the published events."""
        return [attributes for _, attributes in outbox_rows(self.tables.rows)]


class PurchaseHarness(Harness):
    """Purchase; after `check_out`, with one order for 3 blue from the cart "c"."""

    def __init__(self, deadline_seconds: float = DEADLINE, also_awaits: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.measured = Measured()
        self.also_awaits = also_awaits
        self.purchase = self.process(deadline_seconds)
        self.orderid = ""
        self.is_saturated = False

    def process(self, deadline_seconds: float = DEADLINE, tables: Tables | None = None) -> Purchase:
        """Return the use cases of one more process."""
        limits = (deadline_seconds, 3600)
        more = (*limits, self.measured.metrics, self.also_awaits)
        return self.use_cases(Purchase, REMINDERS, *more, tables=tables)

    async def check_out(self) -> "PurchaseHarness":
        await self.purchase.create_cart("c")
        await self.purchase.add_item("c", "blue", 3, "x")
        await self.purchase.close_cart("c")
        self.orderid = (await self.purchase.checkout("c")).orderid
        return self

    async def report(
        self,
        status: str,
        eventid: str | None = None,
        *,
        by: Purchase | None = None,
        **facts: Any,
    ) -> Outcome:
        report = Report(eventid or self.runtime.new_id(), status, self.clock.now(), **facts)
        return await (by or self.purchase).apply_report(self.orderid, report)

    async def sweep_after(self, seconds: float, by: Purchase | None = None) -> list[tuple[str, bool]]:
        """Return what a sweep publishes `seconds` later: each status, and whether it is a reminder."""
        await self.clock.advance(seconds)
        before = len(self.published)
        purchase = by or self.purchase
        reminders = Reminders(purchase._store, purchase.remind, self.runtime, lambda: self.is_saturated)
        await Sweeper(self.tables, TICKET, reminders.claim, self.runtime, capacity=reminders.capacity).sweep()
        new = outbox_rows(self.tables.rows)[before:]
        assert reminders.capacity() == REMINDER_BURST - len(new), "only published reminders count"
        return [(ticket.status, REMINDER_ATTRIBUTE in attributes) for ticket, attributes in new]

    async def ticket(self) -> Ticket:
        return await self.purchase.get_order_ticket(self.orderid)

    @property
    def is_due(self) -> bool:
        """Whether a sweep will find the ticket, sooner or later."""
        return DUE in self.tables.rows[Key(TICKET, self.orderid)].entity
