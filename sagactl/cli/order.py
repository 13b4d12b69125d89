"""`sagactl order`: one order from the records of all services."""

import asyncio
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path

import click

from contract.messages import to_message
from contract.order_history import OrderSnapshot
from contract.tickets import OPEN
from rpc.delivery_pb2 import Shipment
from rpc.payment_pb2 import Charge
from rpc.purchase_pb2 import OrderHistoryEntry
from rpc.stock_pb2 import Reservation
from sagactl.cli import options
from sagactl.errors import CommandError
from sagactl.inspect.connect import open_tables
from sagakit.tables import Tables
from services.delivery.storage import delivery_key, to_shipment
from services.payment.charge import CANCELED, CHARGED
from services.payment.storage import payment_key, to_charge
from services.purchase.storage import ticket_key, to_ticket
from services.purchase.ticket import Ticket
from services.stock.inventory import RESERVED
from services.stock.storage import reservation_key, to_reservation


@click.command()
@click.argument("orderid")
@options.run_dir
def order(orderid: str, run_dir: Path) -> None:
    """Show an order: its ticket, what happened at every service, and what is still open."""
    for line in asyncio.run(_describe(orderid, run_dir)):
        click.echo(line)


async def _describe(orderid: str, run_dir: Path) -> list[str]:
    async with open_tables(run_dir) as tables:
        return await describe(tables, orderid)


async def describe(tables: Tables, orderid: str) -> list[str]:
    """Return the lines that describe the order, by one lookup. Raises CommandError if it does not exist."""
    keys = [ticket_key(orderid), reservation_key(orderid), payment_key(orderid), delivery_key(orderid)]
    rows = await tables.lookup(keys)
    found, reservation, charge, shipment = (rows.get(key) for key in keys)
    if found is None:
        raise CommandError(f"order {orderid} does not exist")
    ticket = to_ticket(orderid, found.entity)
    snapshot = OrderSnapshot(
        tuple(to_message(OrderHistoryEntry, entry) for entry in ticket.history),
        to_message(Reservation, to_reservation(orderid, reservation.entity)) if reservation else None,
        to_message(Charge, to_charge(orderid, charge.entity)) if charge else None,
        to_message(Shipment, to_shipment(orderid, shipment.entity)) if shipment else None,
        complete=True,
    )
    return [
        f"order {orderid}: {ticket.status}{_because(ticket.reason)}",
        f"  {', '.join(f'{item.count} {item.itemid}' for item in ticket.items)}{_for(ticket.amount)}",
        "history:",
        *(
            f"  {time}  {service:<8}  {what}"
            for time, service, what in sorted(_history(snapshot), key=itemgetter(0))
        ),
        f"still open: {'; '.join(_open(ticket, snapshot)) or 'nothing'}",
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


def _open(ticket: Ticket, snapshot: OrderSnapshot) -> Iterator[str]:
    if ticket.status in OPEN:
        yield f"the ticket is {ticket.status}"
    elif ticket.awaits_reply:
        yield "the delivery is not arranged"
    if snapshot.reservation and snapshot.reservation.status == RESERVED:
        yield "the reservation is neither sold nor released"
    if snapshot.charge and snapshot.charge.status == CHARGED:
        yield "the charge is neither settled nor refunded"


def _because(reason: str | None) -> str:
    return f" ({reason})" if reason else ""


def _for(amount: int | None) -> str:
    return "" if amount is None else f", for {amount}"
