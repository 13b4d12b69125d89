"""Verification of dead letters: whether their publisher has a matching record.

Every service may publish to the dead-letter topic, and a redrive publishes with the operator's rights. The
contents of a dead letter prove nothing; the record of the service that it claims to come from does.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from contract.ownership import owner_digest
from contract.tickets import ORDER_TICKET, PUBLISHED_BY, CartItem, TicketMessage
from contract.topology import TOPOLOGY
from sagactl.inspect.order_records import OrderRecords, order_keys, order_records
from sagakit.bus import Message
from sagakit.ctl.project import Claim
from sagakit.errors import Poison, Unavailable
from sagakit.events import Event
from sagakit.tables import Key, Row, Tables
from services.delivery.shipment import Shipment
from services.payment.charge import Charge
from services.stock.inventory import Reservation

_PUBLISHERS = {topic: service for service, topic in TOPOLOGY.topics.items()}


async def verify(tables: Tables, claims: Sequence[Claim]) -> list[str]:
    """Return why each dead letter is not verified; "": it is. One lookup for all of them."""
    tickets = [_ticket(topic, message) for topic, message in claims]
    orderids = {ticket.orderid for ticket in tickets if isinstance(ticket, TicketMessage)}
    keys = [key for orderid in orderids for key in order_keys(orderid)]
    try:
        rows = await tables.lookup(keys) if keys else {}
    except Unavailable:
        return ["the records are unavailable"] * len(claims)
    return [
        ticket if isinstance(ticket, str) else _why(str(topic), ticket, rows)
        for (topic, _), ticket in zip(claims, tickets, strict=True)
    ]


def _ticket(topic: str | None, message: Message) -> TicketMessage | str:
    """Return the ticket in a dead letter, or why it has none."""
    if topic is None:
        return "its topic is unknown"
    try:
        event = Event.from_message(message)
        if event.type != ORDER_TICKET:
            return "it is no order ticket"
        # Of a repeated name one reader takes the first value, and another the last.
        json.loads(event.body, object_pairs_hook=_unique)
        return TicketMessage.from_event(event)
    except (Poison, ValueError, RecursionError):
        return "it is malformed"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is repeated")
    return found


def _why(topic: str, ticket: TicketMessage, rows: Mapping[Key, Row]) -> str:
    publisher, records = _PUBLISHERS[topic], order_records(ticket.orderid, rows)
    if records.corrupt:
        return f"corrupt: {records.corrupt[0]}"
    published = _amounts(publisher, records)
    if ticket.status not in published:
        return f"{publisher} has no {ticket.status!r} on record for it"
    if _counts(ticket.cart_items) != _counts(_items(publisher, records)):
        return f"{publisher} has other items on record"
    if ticket.amount not in published[ticket.status]:
        return f"{publisher} has another amount on record"
    if ticket.owner_digest not in {None, _owner_digest(publisher, records)}:
        return f"{publisher} has another owner on record"
    return ""


def _amounts(publisher: str, records: OrderRecords) -> dict[str, set[int | None]]:
    """Return the statuses that the publisher has published by its own record, with their possible amounts."""
    if publisher == "purchase":
        # It learns the amount on the way: its earlier events have none.
        amounts = {None, records.ticket.amount if records.ticket else None}
        found = {entry.status: amounts for entry in records.snapshot.history}
    else:
        # Of the ticket's history only the checkout: other entries would stand in for the publisher's record.
        own = replace(records.snapshot, history=records.snapshot.history[:1])
        found = {each.status: {each.amount} for each in own.events() if each.service == publisher}
    return {status: found[status] for status in PUBLISHED_BY[publisher] & found.keys()}


def _items(publisher: str, records: OrderRecords) -> Iterable[CartItem]:
    record = records.ticket if publisher == "purchase" else _record(publisher, records)
    return record.items if record else ()


def _owner_digest(publisher: str, records: OrderRecords) -> str | None:
    if records.ticket is not None:
        return owner_digest(records.ticket.orderid, records.ticket.owner)
    record = _record(publisher, records)
    return record.owner_digest if record else None


def _record(publisher: str, records: OrderRecords) -> Reservation | Charge | Shipment | None:
    of = {"stock": records.reservation, "payment": records.charge, "delivery": records.shipment}
    return of.get(publisher)


def _counts(items: Iterable[CartItem]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for each in items:
        counts[each.itemid] += each.count
    return counts
