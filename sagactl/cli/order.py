"""`sagactl order`: one order from the records of all services."""

import asyncio
import sys
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path

import click

from contract.order_history import OrderSnapshot
from contract.tickets import OPEN
from sagactl.inspect.order_records import OrderRecords, order_keys, order_records
from sagakit.ctl.cli import options
from sagakit.ctl.errors import CommandError
from sagakit.ctl.inspect.connect import open_tables
from sagakit.ctl.text import echo
from sagakit.tables import Tables
from services.payment.charge import CANCELED, CHARGED, CHARGING
from services.purchase.ticket import Ticket
from services.stock.inventory import RESERVED


@click.command()
@click.argument("orderid")
@options.suite
def order(orderid: str, run_dir: Path) -> None:
    """Show an order: its ticket, what happened at every service, and what is still open.

    Exit 1 if one of its records is corrupt.
    """
    records = asyncio.run(_load(orderid, run_dir))
    for line in describe(orderid, records):
        echo(line)
    if records.corrupt:
        sys.exit(1)


async def _load(orderid: str, run_dir: Path) -> OrderRecords:
    async with open_tables(run_dir) as tables:
        return await load(tables, orderid)


async def load(tables: Tables, orderid: str) -> OrderRecords:
    """Return the records of the order, by one lookup. Raises CommandError if it does not exist."""
    found = order_records(orderid, await tables.lookup(order_keys(orderid)))
    if found.ticket is None and not found.corrupt:
        raise CommandError(f"order {orderid} does not exist")
    return found


def describe(orderid: str, records: OrderRecords) -> list[str]:
    """Return the lines that describe the order."""
    ticket, snapshot = records.ticket, records.snapshot
    history = sorted(_history(snapshot), key=itemgetter(0))
    still_open = "; ".join(_open(ticket, snapshot)) or ("unknown" if records.corrupt else "nothing")
    return [
        *_ticket(orderid, ticket),
        *(f"  corrupt: {each}" for each in records.corrupt),
        "history:",
        *(f"  {time}  {service:<8}  {what}" for time, service, what in history),
        f"still open: {still_open}",
    ]


def _ticket(orderid: str, ticket: Ticket | None) -> list[str]:
    if ticket is None:
        return [f"order {orderid}: no ticket that can be read"]
    return [
        f"order {orderid}: {ticket.status}{_because(ticket.reason)}",
        f"  {', '.join(f'{item.count} {item.itemid}' for item in ticket.items)}{_for(ticket.amount)}",
    ]


def _history(snapshot: OrderSnapshot) -> Iterator[tuple[str, str, str]]:
    """Yield time, service and event, of purchase with the cause of each entry."""
    for entry in snapshot.history:
        event = f" (event {entry.eventid})" if entry.eventid else ""
        yield entry.time, "purchase", f"{entry.status}, caused by {entry.cause}{event}"
    for each in snapshot.events():
        if each.service != "purchase":
            refund = ""
            if each.key == f"payment.{CANCELED}" and snapshot.charge and snapshot.charge.refunded:
                refund = f", {snapshot.charge.refunded} refunded"
            what = f"{each.status}{_for(each.amount)}{refund}{_because(each.reason)}"
            yield each.time, each.service, what


def _open(ticket: Ticket | None, snapshot: OrderSnapshot) -> Iterator[str]:
    if ticket is not None and ticket.status in OPEN:
        yield f"the ticket is {ticket.status}"
    elif ticket is not None and ticket.awaits_reply:
        yield "the delivery is not arranged"
    if snapshot.reservation and snapshot.reservation.status == RESERVED:
        yield "the reservation is neither sold nor released"
    if snapshot.charge and snapshot.charge.status == CHARGING:
        yield "the charge has no recorded outcome"
    if snapshot.charge and snapshot.charge.status == CHARGED:
        yield "the charge is neither settled nor refunded"


def _because(reason: str | None) -> str:
    return f" ({reason})" if reason else ""


def _for(amount: int | None) -> str:
    return "" if amount is None else f", for {amount}"
