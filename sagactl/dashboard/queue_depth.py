"""Depths of the suite's queues, read from the tables with bounded, infrequent queries."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite

import structlog

from contract.tickets import APPROVED, PRE_APPROVED, RESERVED
from contract.topology import TOPOLOGY
from sagactl.inspect.records import CorruptEntityError, decode
from sagakit.bus import PullSubscription
from sagakit.due import END_OF_TIME, SHARDS, due_bound
from sagakit.events import published_at
from sagakit.outbox import outbox_kind
from sagakit.tables import Entity, Tables
from services.purchase.storage import TICKET, to_ticket

log = structlog.get_logger()

MAX_ROWS = 500
"""Rows read per kind; beyond it a depth is "more than"."""
MAX_DEAD_LETTERS = 100
"""Dead letters counted; while they are, no other command can pull them."""
REFRESH_INTERVAL_SECONDS = 5.0
IDLE_FACTOR = 20
"""Idle time after a query, as a multiple of its duration: the Firestore emulator reads a whole kind for each
query, and monitoring must not become a significant load itself."""
MAX_IDLE_SECONDS = 120.0
AWAITING = (PRE_APPROVED, RESERVED, APPROVED)
"""Statuses in which a ticket awaits a reply; approved, that of delivery."""


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """Number of entries, and the age of the oldest in seconds (None: unknown, or no entries)."""

    count: int = 0
    oldest_seconds: float | None = None
    more: bool = False
    """Whether there may be more entries than were read, older ones among them: both figures are at least."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Depths at one moment."""

    tickets: Mapping[str, QueueDepth]
    """By status."""
    outboxes: Mapping[str, QueueDepth]
    """Unpublished events, by service."""


async def load_backlog(tables: Tables, now: float) -> Backlog:
    """Read the backlog: one query for the tickets and one for each outbox."""
    rows = await tables.due(TICKET, due_bound(0, 0), due_bound(SHARDS - 1, END_OF_TIME), MAX_ROWS)
    opened: dict[str, list[float | None]] = {status: [] for status in AWAITING}
    for key, row in rows:
        try:
            status, at = decode(key, row.entity, _status_and_time)
        except CorruptEntityError as error:
            log.warning("corrupt entity", reason=str(error))
        else:
            opened.get(status, []).append(at)
    more = len(rows) == MAX_ROWS
    return Backlog(
        tickets={status: _depth(since, now, more) for status, since in opened.items()},
        outboxes={service: await _outbox_depth(tables, service, now) for service in TOPOLOGY.topics},
    )


def _status_and_time(orderid: str, entity: Entity) -> tuple[str, float]:
    ticket = to_ticket(orderid, entity)
    return ticket.status, ticket.opened_at


async def _outbox_depth(tables: Tables, service: str, now: float) -> QueueDepth:
    rows = await tables.page(outbox_kind(service), "", MAX_ROWS)
    attributes = (row.entity.get("attributes") for _, row in rows)
    since = [published_at(each) if isinstance(each, Mapping) else None for each in attributes]
    return _depth(since, now, len(rows) == MAX_ROWS)


def _depth(since: Iterable[float | None], now: float, more: bool) -> QueueDepth:
    times = list(since)
    known = [time for time in times if time is not None and isfinite(time)]
    return QueueDepth(len(times), max(0.0, now - min(known)) if known else None, more)


async def count_dead_letters(subscription: PullSubscription) -> QueueDepth:
    """Count up to MAX_DEAD_LETTERS dead letters: they are pulled in one request, and released at once.

    Pub/Sub has no other count that is exact. Its metric `num_undelivered_messages` needs another API and
    permission, exists on no emulator, and is minutes old.
    """
    pulled = await subscription.pull(MAX_DEAD_LETTERS)
    await subscription.release(pulled)
    return QueueDepth(len(pulled), None, len(pulled) >= MAX_DEAD_LETTERS)


def idle_after(query_seconds: float) -> float:
    """Return the seconds to wait after a query that took `query_seconds`."""
    return max(REFRESH_INTERVAL_SECONDS, min(IDLE_FACTOR * query_seconds, MAX_IDLE_SECONDS))
