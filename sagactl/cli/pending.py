"""`sagactl pending`: orders that are open or still await a reply."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import click

from sagactl.cli import options
from sagactl.dashboard.queue_depth import MAX_TIME
from sagactl.inspect.connect import open_tables
from sagactl.text import format_duration
from sagakit.due import SHARDS, due_bound
from sagakit.tables import DUE, Key, Row, Tables
from services.purchase.storage import TICKET, to_ticket
from services.purchase.ticket import Ticket

PAGE = 300


@click.command()
@click.option(
    "--older-than",
    type=click.FloatRange(0),
    default=0,
    metavar="SECONDS",
    help="Only orders open for at least this many seconds.",
)
@options.run_dir
def pending(older_than: float, run_dir: Path) -> None:
    """List the orders that are not final or still await a reply, oldest first."""
    orders = asyncio.run(_load(older_than, run_dir))
    for order in orders:
        click.echo(order)
    if not orders:
        click.echo("no pending orders")


async def _load(older_than: float, run_dir: Path) -> "list[PendingOrder]":
    async with open_tables(run_dir) as tables:
        return await pending_orders(tables, time.time(), older_than)


@dataclass(frozen=True, slots=True)
class PendingOrder:
    """A ticket that is open or awaits a reply."""

    ticket: Ticket
    age_seconds: float

    def __str__(self) -> str:
        age, sent = format_duration(self.age_seconds), self.ticket.reminders_sent
        return f"{self.ticket.orderid}  {self.ticket.status:<13}  {age:>9}  {sent} reminders"


async def pending_orders(tables: Tables, now: float, older_than_seconds: float) -> list[PendingOrder]:
    """Return the pending orders of at least that age, oldest first. Reads the index of `due`."""
    # By orderid: an entity whose `due` moves meanwhile is read again, further on.
    tickets = {key.name: to_ticket(key.name, row.entity) async for key, row in _awaiting(tables)}
    orders = [PendingOrder(ticket, now - ticket.opened_at) for ticket in tickets.values()]
    old = [each for each in orders if each.age_seconds >= older_than_seconds]
    return sorted(old, key=lambda each: -each.age_seconds)


async def _awaiting(tables: Tables) -> AsyncIterator[tuple[Key, Row]]:
    for shard in range(SHARDS):
        start, limit = due_bound(shard, 0), PAGE
        while True:
            page = await tables.due(TICKET, start, due_bound(shard, MAX_TIME), limit)
            for each in page:
                yield each
            if len(page) < limit:
                break
            # The next page starts with the last `due` of this one again: others may share it.
            start = page[-1][1].entity[DUE]
            limit = PAGE + sum(row.entity[DUE] == start for _, row in page)
