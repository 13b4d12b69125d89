"""`sagactl reconcile`: publish again what ends orders after records were restored to an earlier moment."""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from contract.tickets import ticket_event
from contract.topology import TOPOLOGY
from sagactl.inspect.order_records import OrderRecords, order_keys, order_records
from sagactl.inspect.reconciliation import Decisions, Remedy, Republish, last_change, remedy
from sagactl.inspect.records import CorruptEntityError, decode
from sagakit.backends import Backend
from sagakit.ctl.cli import options
from sagakit.ctl.inspect.connect import open_suite_backend
from sagakit.ctl.text import echo
from sagakit.runtime import Runtime
from services.delivery.storage import DELIVERY
from services.payment.simulated import LEDGER
from services.payment.storage import PAYMENT
from services.purchase.storage import TICKET, cart_key, to_cart
from services.stock.storage import RESERVATION

PAGE = 100
KINDS = (TICKET, RESERVATION, PAYMENT, DELIVERY, LEDGER)
"""Kinds that have an entity for each order, under its orderid."""

Report = Callable[[str, Remedy], None]


@click.command()
@click.option("--execute", is_flag=True, help="Publish; without it, only print what would be published.")
@click.option(
    "--reserve-again", is_flag=True, help="Reserve units for approved orders without a reservation."
)
@click.option(
    "--cancel-lost", is_flag=True, help="Cancel orders that have no ticket, unless they were approved."
)
@click.option("--after", default="", metavar="ORDERID", help="Continue after this order.")
@options.rate(20, "Events to publish per second.")
@click.option(
    "--older-than",
    type=click.FloatRange(0),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="Only orders unchanged for at least this many seconds: others may be in progress.",
)
@options.suite
def reconcile(
    execute: bool,
    reserve_again: bool,
    cancel_lost: bool,
    after: str,
    rate: float,
    older_than: float,
    run_dir: Path,
) -> None:
    """After a restore: end orders by publishing again what services have on record; exit 1 if some remain.

    Prints what would be published, and the orders that a person must decide about.
    """
    found: Counter[type] = Counter()

    def report(orderid: str, each: Remedy) -> None:
        found[type(each)] += 1
        to_decide = isinstance(each, str)
        echo(f"order {orderid}: {'decide: ' if to_decide else ''}{each}", colour="red" if to_decide else None)

    async def run() -> None:
        async with open_suite_backend(run_dir) as backend:
            chosen = Decisions(reserve_again=reserve_again, cancel_lost=cancel_lost)
            reconciliation = Reconciliation(
                backend, Runtime(), chosen, older_than, rate if execute else 0, after
            )
            try:
                await reconciliation.run(report)
            except BaseException:
                echo(f"ended early; continue with --after '{reconciliation.after}'", err=True)
                raise

    asyncio.run(run())
    echo(f"{found[Republish]} {'published' if execute else 'would be published'}, {found[str]} to decide")
    if found[str]:
        sys.exit(1)


@dataclass(slots=True)
class Reconciliation:
    """Goes through the orders by orderid, a page at a time."""

    backend: Backend
    runtime: Runtime
    decided: Decisions
    older_than_seconds: float
    rate: float
    """Events to publish per second; 0: none is published."""
    after: str = ""
    """The last order that is done."""

    async def run(self, report: Report) -> None:
        """Publish what ends orders, and report it with what a person must decide.

        Safe at any time, and repeatable: the events are reminders of what services have on record.
        """
        while names := await self._next_orders():
            remedies = await self._remedies(names)
            await self._publish([each for each in remedies.values() if isinstance(each, Republish)])
            for orderid, each in remedies.items():
                report(orderid, each)
            self.after = names[-1]

    async def _next_orders(self) -> list[str]:
        tables = self.backend.tables
        pages = [[key.name for key, _ in await tables.page(kind, self.after, PAGE)] for kind in KINDS]
        names = sorted({name for page in pages for name in page})
        # Beyond the end of a full page its kind may have more.
        end = min((page[-1] for page in pages if len(page) == PAGE), default=names[-1] if names else "")
        return [name for name in names if name <= end][:PAGE]

    async def _remedies(self, names: list[str]) -> dict[str, Remedy]:
        """One lookup for all records of the page: they are of one moment."""
        rows = await self.backend.tables.lookup([key for name in names for key in order_keys(name)])
        idle_since = self.runtime.now() - self.older_than_seconds
        orders = {name: order_records(name, rows) for name in names}
        idle = {name: each for name, each in orders.items() if last_change(each) <= idle_since}
        found = {name: remedy(name, each, self.decided) for name, each in idle.items()}
        carts = await self._carts_without(idle)
        return {name: each or carts[name] for name, each in found.items() if each or name in carts}

    async def _carts_without(self, orders: dict[str, OrderRecords]) -> dict[str, str]:
        """Return the orders whose cart can be checked out again, or cannot be read."""
        keys = {name: cart_key(each.ticket.cartid) for name, each in orders.items() if each.ticket}
        rows = await self.backend.tables.lookup([*set(keys.values())]) if keys else {}
        found = {}
        for name, key in keys.items():
            try:
                if key in rows and decode(key, rows[key].entity, to_cart).orderid != name:
                    found[name] = f"cart {key.name} is not checked out to it: it can be ordered again"
            except CorruptEntityError as error:
                found[name] = f"corrupt: {error}"
        return found

    async def _publish(self, events: list[Republish]) -> None:
        for each in events if self.rate else ():
            event = ticket_event(each.ticket, self.runtime.new_id(), self.runtime.now(), is_reminder=True)
            await self.backend.bus.publish(TOPOLOGY.topics[each.service], [event.to_message()])
            await self.runtime.sleep(1 / self.rate)
