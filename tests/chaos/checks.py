"""Checks after a run: no order lost, duplicated, oversold or unfinished, by records and customers' ledger."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from contract.tickets import APPROVED, CANCELED, PAYMENT_FAILED, RESERVE_FAILED
from sagactl.inspect.records import every
from sagactl.project import PROJECT
from sagakit.ctl.inspect.connect import open_dead_letters
from sagakit.tables import Key, Tables
from services.delivery.storage import DELIVERY
from services.payment.storage import PAYMENT, to_charge
from services.purchase.storage import TICKET, to_ticket
from services.purchase.ticket import Ticket
from services.stock.storage import RESERVATION, to_reservation
from tests.chaos.customers import MAX_LOOKUP, AcceptedOrder
from tests.chaos.future import STORED, count_added
from tests.support.ledger import differences
from tests.support.shop_history import ShopHistory, recorded_events


async def read_tickets(tables: Tables) -> dict[str, Ticket]:
    return {orderid: to_ticket(orderid, entity) async for orderid, entity in every(tables, TICKET)}


async def dead_letter_problems(environ: Mapping[str, str]) -> list[str]:
    found: list[str] = []
    async with open_dead_letters(PROJECT, Path("none"), environ) as queue:
        await queue.read(lambda _: True, lambda letter: found.append(f"dead letter: {letter}"))
    return found


def added_fields(logs: Path) -> Counter[Key]:
    """Return the entities that processes of the future version wrote, with how many added fields they had."""
    found: Counter[Key] = Counter()
    for log in logs.glob("*.log"):
        for line in log.read_text().splitlines():
            if f'"{STORED}"' in line:
                found |= Counter({Key(kind, name): count for kind, name, count in json.loads(line)["stored"]})
    return found


async def lost_fields(tables: Tables, added: Mapping[Key, int]) -> list[str]:
    """Return the entities in which fewer of the added fields are left."""
    keys, lost = list(added), []
    for start in range(0, len(keys), MAX_LOOKUP):
        rows = await tables.lookup(keys[start : start + MAX_LOOKUP])
        lost += [f"{key} lost fields" for key, row in rows.items() if count_added(row.entity) < added[key]]
    return lost


def order_problems(ledger: Mapping[str, AcceptedOrder], tickets: Mapping[str, Ticket]) -> Iterator[str]:
    """Return the differences between the customers' ledger and the tickets."""
    baskets = {orderid: order.basket for orderid, order in ledger.items()}
    ordered = {orderid: _basket(ticket) for orderid, ticket in tickets.items()}
    yield from differences(baskets, ordered)
    carts = Counter(ticket.cartid for ticket in tickets.values())
    yield from (f"cart {cartid} was ordered {times} times" for cartid, times in carts.items() if times > 1)
    for orderid in ledger.keys() & tickets.keys():
        order, ticket = ledger[orderid], tickets[orderid]
        if ticket.status not in allowed_statuses(order):
            reason = f"is {ticket.status} ({ticket.reason}), not {allowed_statuses(order)}"
            yield f"order {orderid} for {ordered[orderid]} {reason}"


async def history_problems(history: ShopHistory, tables: Tables, tickets: Mapping[str, Ticket]) -> list[str]:
    """Return what is wrong with the customers' answers, and where they contradict the records."""
    reservations = {key: to_reservation(key, entity) async for key, entity in every(tables, RESERVATION)}
    charges = {key: to_charge(key, entity) async for key, entity in every(tables, PAYMENT)}
    shipped = {key async for key, _ in every(tables, DELIVERY)}
    events = {
        orderid: recorded_events(
            ticket, reservations.get(orderid), charges.get(orderid), shipped=orderid in shipped
        )
        for orderid, ticket in tickets.items()
    }
    statuses = {orderid: ticket.status for orderid, ticket in tickets.items()}
    return [*history.problems, *history.status_problems(statuses), *history.stream_problems(events)]


def _basket(ticket: Ticket) -> dict[str, int]:
    return {item.itemid: item.count for item in ticket.items}


def allowed_statuses(order: AcceptedOrder) -> set[str]:
    """Return the allowed final statuses. A cancellation that came too late has no effect."""
    if order.canceled:
        return {CANCELED}
    if "yellow" in order.basket:
        return {RESERVE_FAILED}
    if "gold" in order.basket:
        # Above the payment limit; or sold out, as open orders may hold all ten units.
        return {PAYMENT_FAILED, RESERVE_FAILED}
    return {APPROVED}
