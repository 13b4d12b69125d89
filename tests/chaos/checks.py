"""Whether anything was lost, doubled, oversold or left hanging: the records, and what customers saw."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from contract.tickets import APPROVED, CANCELED, PAYMENT_FAILED, RESERVE_FAILED
from sagactl.inspect.audit import load_records, problems
from sagactl.inspect.connect import open_dead_letters
from sagactl.inspect.dead_letters import read
from sagactl.inspect.records import every
from sagakit.tables import Tables
from services.purchase.storage import TICKET, to_ticket
from services.purchase.ticket import Ticket
from tests.chaos.customers import AcceptedOrder
from tests.support.ledger import differences


async def read_tickets(tables: Tables) -> dict[str, Ticket]:
    return {orderid: to_ticket(orderid, entity) async for orderid, entity in every(tables, TICKET)}


async def of_books(tables: Tables) -> list[str]:
    """What does not balance (yet)."""
    return problems(await load_records(tables))


async def of_dead_letters(environ: Mapping[str, str]) -> list[str]:
    async with open_dead_letters(Path("none"), environ) as (subscription, _):
        return [f"dead letter: {letter}" for letter in await read(subscription, lambda _: True)]


def of_customers(ledger: Mapping[str, AcceptedOrder], tickets: Mapping[str, Ticket]) -> Iterator[str]:
    """Where the customers' ledger and the tickets differ."""
    baskets = {orderid: order.basket for orderid, order in ledger.items()}
    ordered = {orderid: _basket(ticket) for orderid, ticket in tickets.items()}
    yield from differences(baskets, ordered)
    carts = Counter(ticket.cartid for ticket in tickets.values())
    yield from (f"cart {cartid} was ordered {times} times" for cartid, times in carts.items() if times > 1)
    for orderid in ledger.keys() & tickets.keys():
        order, ticket = ledger[orderid], tickets[orderid]
        if ticket.status not in endings(order):
            reason = f"is {ticket.status} ({ticket.reason}), not {endings(order)}"
            yield f"order {orderid} for {ordered[orderid]} {reason}"


def _basket(ticket: Ticket) -> dict[str, int]:
    return {item.itemid: item.count for item in ticket.items}


def endings(order: AcceptedOrder) -> set[str]:
    """How it may have ended; what the customer called off too late ended as if he had not."""
    if order.canceled:
        return {CANCELED}
    if "yellow" in order.basket:
        return {RESERVE_FAILED}
    if "gold" in order.basket:
        # Beyond what a payment may be; and there are ten pieces, which orders on their way may have.
        return {PAYMENT_FAILED, RESERVE_FAILED}
    return {APPROVED}
