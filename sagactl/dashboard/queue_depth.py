"""What waits at the moment, as the tables have it: bounded, infrequent queries, as an operator may make."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from contract.tickets import APPROVED, PRE_APPROVED, RESERVED
from contract.topology import TOPICS
from sagakit.bus import PulledMessage, PullSubscription
from sagakit.due import SHARDS, due_bound
from sagakit.outbox import outbox_kind
from sagakit.tables import Entity, Tables
from services.purchase.storage import TICKET, to_ticket

MOST = 500
"""Rows looked at of a kind: what is more is said to be more."""
EVERY_SECONDS = 5.0
IDLE_FACTOR = 20
"""For how long the tables are rested after, by how long they took: the Firestore emulator reads a whole kind
for each query, and whoever watches must not be the load."""
MAX_IDLE_SECONDS = 120.0
_LETTERS = 100
_NEVER = 1e11
"""Seconds since the epoch that nobody waits for."""
WAITING = (PRE_APPROVED, RESERVED, APPROVED)
"""The statuses in which a ticket waits for an answer; approved, for that of delivery."""


@dataclass(frozen=True, slots=True)
class Pile:
    """How much waits, and for how long the oldest of it does (None: nothing, or nobody knows)."""

    count: int = 0
    oldest_seconds: float | None = None
    more: bool = False
    """It is more than was looked at, so that the oldest may be older."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits at a moment."""

    tickets: Mapping[str, Pile]
    """By status."""
    outboxes: Mapping[str, Pile]
    """Events that are not published yet, by service."""


async def read_backlog(tables: Tables, now: float) -> Backlog:
    """One query for the tickets, and one for each outbox."""
    rows = await tables.due(TICKET, due_bound(0, 0), due_bound(SHARDS - 1, _NEVER), MOST)
    tickets = [to_ticket(key.name, row.entity) for key, row in rows]
    by_status = {
        status: [ticket.opened_at for ticket in tickets if ticket.status == status] for status in WAITING
    }
    more = len(rows) == MOST
    return Backlog(
        tickets={status: _pile(since, now, more) for status, since in by_status.items()},
        outboxes={service: await _outbox(tables, service, now) for service in TOPICS},
    )


async def _outbox(tables: Tables, service: str, now: float) -> Pile:
    rows = await tables.page(outbox_kind(service), "", MOST)
    return _pile([_said_at(row.entity) for _, row in rows], now, len(rows) == MOST)


def _said_at(entity: Entity) -> float | None:
    with suppress(KeyError, ValueError):
        return datetime.fromisoformat(entity["attributes"]["time"]).timestamp()
    return None


def _pile(since: Iterable[float | None], now: float, more: bool) -> Pile:
    moments = list(since)
    known = [moment for moment in moments if moment is not None]
    return Pile(len(moments), max(0.0, now - min(known)) if known else None, more and bool(moments))


async def count_letters(subscription: PullSubscription) -> Pile:
    """The dead letters, up to MOST: each is taken and given back, for there is no other way to count them."""
    held: list[PulledMessage] = []
    while len(held) < MOST and (page := await subscription.pull(_LETTERS)):
        held += page
    await subscription.release(held)
    return Pile(len(held), None, len(held) >= MOST)


def rest_after(took_seconds: float) -> float:
    """How long to leave the tables alone after a look that took so long."""
    return max(EVERY_SECONDS, min(IDLE_FACTOR * took_seconds, MAX_IDLE_SECONDS))
