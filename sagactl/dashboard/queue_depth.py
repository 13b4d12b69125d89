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

MAX_ROWS = 500
"""Rows loaded at of a kind: what is more is events to be more."""
REFRESH_INTERVAL_SECONDS = 5.0
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
class QueueDepth:
    """How much waits, and for how long the oldest of it does (None: nothing, or nobody knows)."""

    count: int = 0
    oldest_seconds: float | None = None
    more: bool = False
    """It is more than was loaded at, so that the oldest may be older."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits at a moment."""

    tickets: Mapping[str, QueueDepth]
    """By status."""
    outboxes: Mapping[str, QueueDepth]
    """Events that are not published yet, by service."""


async def load_backlog(tables: Tables, now: float) -> Backlog:
    """One query for the tickets, and one for each outbox."""
    rows = await tables.due(TICKET, due_bound(0, 0), due_bound(SHARDS - 1, _NEVER), MAX_ROWS)
    tickets = [to_ticket(key.name, row.entity) for key, row in rows]
    by_status = {
        status: [ticket.opened_at for ticket in tickets if ticket.status == status] for status in WAITING
    }
    more = len(rows) == MAX_ROWS
    return Backlog(
        tickets={status: _depth(since, now, more) for status, since in by_status.items()},
        outboxes={service: await _outbox(tables, service, now) for service in TOPICS},
    )


async def _outbox(tables: Tables, service: str, now: float) -> QueueDepth:
    rows = await tables.page(outbox_kind(service), "", MAX_ROWS)
    return _depth([_said_at(row.entity) for _, row in rows], now, len(rows) == MAX_ROWS)


def _said_at(entity: Entity) -> float | None:
    with suppress(KeyError, ValueError):
        return datetime.fromisoformat(entity["attributes"]["time"]).timestamp()
    return None


def _depth(since: Iterable[float | None], now: float, more: bool) -> QueueDepth:
    moments = list(since)
    known = [moment for moment in moments if moment is not None]
    return QueueDepth(len(moments), max(0.0, now - min(known)) if known else None, more and bool(moments))


async def count_dead_letters(subscription: PullSubscription) -> QueueDepth:
    """The dead letters, up to MAX_ROWS: pulled and released, as Pub/Sub has no other count."""
    held: list[PulledMessage] = []
    while len(held) < MAX_ROWS and (page := await subscription.pull(_LETTERS)):
        held += page
    await subscription.release(held)
    return QueueDepth(len(held), None, len(held) >= MAX_ROWS)


def idle_after(took_seconds: float) -> float:
    """How long to leave the tables alone after a look that took so long."""
    return max(REFRESH_INTERVAL_SECONDS, min(IDLE_FACTOR * took_seconds, MAX_IDLE_SECONDS))
