"""Tickets that wait: for an answer, or for their deadline."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from sagakit.due import SHARDS, bound
from sagakit.tables import INDEXED, Key, Row, Tables
from services.purchase.storage import TICKET, to_ticket
from services.purchase.ticket import Ticket

PAGE = 300
_NEVER = 1e11
"""Seconds since the epoch that nobody waits for."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A ticket that has not come to rest."""

    ticket: Ticket
    age_seconds: float

    def __str__(self) -> str:
        age = _in_words(self.age_seconds)
        return f"{self.ticket.orderid}  {self.ticket.status:<13}  {age:>9}  {self.ticket.repeats} repeats"


async def stuck(tables: Tables, now: float, older_than_seconds: float) -> list[Waiting]:
    """Tickets that have been open for so long, the oldest first; found by the index of what waits."""
    waiting = [
        Waiting(ticket, now - ticket.opened_at)
        async for key, row in _waiting(tables)
        if now - (ticket := to_ticket(key.name, row.entity)).opened_at >= older_than_seconds
    ]
    return sorted(waiting, key=lambda each: -each.age_seconds)


async def _waiting(tables: Tables) -> AsyncIterator[tuple[Key, Row]]:
    for shard in range(SHARDS):
        start, seen = bound(shard, 0), set[Key]()
        limit = PAGE
        while True:
            page = await tables.due(TICKET, start, bound(shard, _NEVER), limit)
            fresh = [each for each in page if each[0] not in seen]
            for each in fresh:
                yield each
            if len(page) < limit:
                break
            # The next page begins with the last moment of this one, which others may share.
            start = page[-1][1].entity[INDEXED]
            seen = {key for key, row in page if row.entity[INDEXED] == start}
            limit = PAGE + len(seen)


def _in_words(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {seconds:02}s"
