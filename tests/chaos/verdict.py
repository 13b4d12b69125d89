"""Whether anything was lost, doubled, oversold or left hanging: the books, and the customers' own ledger."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from contract.tickets import APPROVED, CANCELED, PAYMENT_FAILED, RESERVE_FAILED
from sagactl.audit import problems, read_books
from sagactl.letters import read
from sagactl.looking import open_letters
from sagakit.tables import Tables
from services.purchase.storage import TICKET, to_ticket
from services.purchase.ticket import Ticket
from tests.chaos.shop import Accepted

PAGE = 300


async def read_tickets(tables: Tables) -> dict[str, Ticket]:
    tickets: dict[str, Ticket] = {}
    after = ""
    while page := await tables.page(TICKET, after, PAGE):
        tickets |= {key.name: to_ticket(key.name, row.entity) for key, row in page}
        after = page[-1][0].name
    return tickets


async def of_books(tables: Tables) -> list[str]:
    """What does not balance (yet)."""
    return problems(await read_books(tables))


async def of_dead_letters(environ: Mapping[str, str]) -> list[str]:
    async with open_letters(Path("none"), environ) as (mailbox, _):
        return [f"dead letter: {letter}" for letter in await read(mailbox, lambda _: True)]


def of_customers(ledger: Mapping[str, Accepted], tickets: Mapping[str, Ticket]) -> Iterator[str]:
    """Where the customers' ledger and the tickets differ."""
    yield from (f"order {orderid} is lost" for orderid in ledger.keys() - tickets.keys())
    yield from (f"nobody has placed the order {orderid}" for orderid in tickets.keys() - ledger.keys())
    carts = Counter(ticket.cartid for ticket in tickets.values())
    yield from (f"cart {cartid} was ordered {times} times" for cartid, times in carts.items() if times > 1)
    for orderid in ledger.keys() & tickets.keys():
        order, ticket = ledger[orderid], tickets[orderid]
        ordered = {item.itemid: item.count for item in ticket.items}
        if ordered != order.basket:
            yield f"order {orderid} is for {ordered} instead of {dict(order.basket)}"
        if ticket.status not in endings(order):
            yield f"order {orderid} for {ordered} is {ticket.status} ({ticket.reason}), not {endings(order)}"


def endings(order: Accepted) -> set[str]:
    """How it may have ended; what the customer called off too late ended as if he had not."""
    if order.canceled:
        return {CANCELED}
    if "yellow" in order.basket:
        return {RESERVE_FAILED}
    if "gold" in order.basket:
        # Beyond what a payment may be; and there are ten pieces, which orders on their way may have.
        return {PAYMENT_FAILED, RESERVE_FAILED}
    return {APPROVED}
