"""Tickets that wait: for an answer, or for their deadline."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from sagakit.due import SHARDS, due_bound
from sagakit.tables import DUE, Key, Row, Tables
from services.purchase.storage import TICKET, to_ticket
from services.purchase.ticket import Ticket

PAGE = 300
_NEVER = 1e11
"""Seconds since the epoch that nobody waits for."""


@dataclass(frozen=True, slots=True)
class PendingOrder:
    """A ticket that has not come to rest."""

    ticket: Ticket
    age_seconds: float

    def __str__(self) -> str:
        age = _in_words(self.age_seconds)
        return (
            f"{self.ticket.orderid}  {self.ticket.status:<13}  {age:>9}  {self.ticket.reminders_sent} repeats"
        )


async def pending_orders(tables: Tables, now: float, older_than_seconds: float) -> list[PendingOrder]:
    """Tickets that have been open for so long, the oldest first; found by the index of what waits."""
    # By orderid: what is put off while we look is found again, further on.
    tickets = {key.name: to_ticket(key.name, row.entity) async for key, row in _waiting(tables)}
    waiting = [PendingOrder(ticket, now - ticket.opened_at) for ticket in tickets.values()]
    old = [each for each in waiting if each.age_seconds >= older_than_seconds]
    return sorted(old, key=lambda each: -each.age_seconds)


async def _waiting(tables: Tables) -> AsyncIterator[tuple[Key, Row]]:
    for shard in range(SHARDS):
        start, limit = due_bound(shard, 0), PAGE
        while True:
            page = await tables.due(TICKET, start, due_bound(shard, _NEVER), limit)
            for each in page:
                yield each
            if len(page) < limit:
                break
            # The next page begins with the last moment of this one, again: others may share it.
            start = page[-1][1].entity[DUE]
            limit = PAGE + sum(row.entity[DUE] == start for _, row in page)


def _in_words(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {seconds:02}s"
