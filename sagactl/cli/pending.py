"""`sagactl pending`: orders that are open or still await a reply."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import click

from sagactl.inspect.records import CorruptEntityError, decode
from sagakit.ctl.cli import options
from sagakit.ctl.inspect.connect import open_tables
from sagakit.ctl.text import echo, format_duration
from sagakit.due import END_OF_TIME, MAX_AHEAD_SECONDS, SHARDS, decode_due, due_bound
from sagakit.tables import DUE, Entity, Key, Row, Tables
from services.purchase.storage import TICKET, to_ticket
from services.purchase.ticket import Ticket

PAGE = 300
CLOCK_SKEW_SECONDS = 60.0
"""How far apart the clocks of processes normally are."""


@click.command()
@click.option(
    "--older-than",
    type=click.FloatRange(0),
    default=0,
    metavar="SECONDS",
    help="Only orders open for at least this many seconds.",
)
@options.suite
def pending(older_than: float, run_dir: Path) -> None:
    """List the orders that are not final or still await a reply, oldest first; exit 1 if one is corrupt."""
    orders, corrupt = asyncio.run(_load(older_than, run_dir))
    for each in (*orders, *(f"corrupt: {each}" for each in corrupt)):
        echo(each)
    if corrupt:
        sys.exit(1)
    if not orders:
        echo("no pending orders")


async def _load(older_than: float, run_dir: Path) -> "tuple[list[PendingOrder], list[str]]":
    async with open_tables(run_dir) as tables:
        return await pending_orders(tables, time.time(), older_than)


@dataclass(frozen=True, slots=True)
class PendingOrder:
    """A ticket that is open or awaits a reply."""

    ticket: Ticket
    age_seconds: float
    is_ahead: bool = False
    """Whether it was opened, or is due, in an implausible future: it was written while a clock was fast."""

    def __str__(self) -> str:
        age = "?" if self.is_ahead else format_duration(self.age_seconds)
        mark = "  clock was fast" if self.is_ahead else ""
        sent = self.ticket.reminders_sent
        return f"{self.ticket.orderid}  {self.ticket.status:<13}  {age:>9}  {sent} reminders{mark}"


async def pending_orders(
    tables: Tables, now: float, older_than_seconds: float
) -> tuple[list[PendingOrder], list[str]]:
    """Return the pending orders of at least that age, oldest first, and the tickets that are corrupt.

    Orders that were written while a clock was fast are always included: their age is not known. Reads the
    index of `due`.
    """

    def read(orderid: str, entity: Entity) -> PendingOrder:
        ticket = to_ticket(orderid, entity)
        due = decode_due(entity[DUE])
        ahead = max(due - MAX_AHEAD_SECONDS, ticket.opened_at - CLOCK_SKEW_SECONDS) > now
        order = PendingOrder(ticket, now - ticket.opened_at, ahead)
        str(order)  # Raises if the time is none that can be shown.
        return order

    # By orderid: an entity whose `due` moves meanwhile is read again, further on.
    orders: dict[str, PendingOrder] = {}
    corrupt: dict[str, str] = {}
    async for key, row in _awaiting(tables):
        try:
            orders[key.name] = decode(key, row.entity, read)
        except CorruptEntityError as error:
            corrupt[key.name] = str(error)
    old = [each for each in orders.values() if each.is_ahead or each.age_seconds >= older_than_seconds]
    return sorted(old, key=lambda each: -each.age_seconds), list(corrupt.values())


async def _awaiting(tables: Tables) -> AsyncIterator[tuple[Key, Row]]:
    for shard in range(SHARDS):
        start, limit = due_bound(shard, 0), PAGE
        while True:
            page = await tables.due(TICKET, start, due_bound(shard, END_OF_TIME), limit)
            for each in page:
                yield each
            if len(page) < limit:
                break
            # The next page starts with the last `due` of this one again: others may share it.
            start = page[-1][1].entity[DUE]
            limit = PAGE + sum(row.entity[DUE] == start for _, row in page)
