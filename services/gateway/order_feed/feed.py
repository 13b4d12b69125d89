"""Feeds of the orders that clients of this process follow: read once, then kept up to date by events."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import structlog
from opentelemetry import context

from contract.order_history import OrderEvent, OrderSnapshot
from contract.tickets import RESERVE_FAILED, TERMINAL, TicketMessage
from sagakit.concurrency import first_completed
from sagakit.errors import Unavailable
from sagakit.runtime import Backoff, Runtime
from services.gateway.auth import Credentials

log = structlog.get_logger()

Fetch = Callable[[str, Credentials], Awaitable[OrderSnapshot]]
"""Reads an order's records with a caller's credentials. Raises Unavailable if purchase cannot be reached."""

REFRESH_BACKOFF = Backoff(first_seconds=0.05, cap_seconds=5.0, attempts=0)
"""Delays between reads while changes are not published or not received, or a service is unavailable."""
SILENCE_BACKOFF = Backoff(first_seconds=5.0, cap_seconds=60.0, attempts=0)
"""Delays between reads while events are expected but none arrives: perhaps it was lost."""
RECORDS_TIMEOUT_SECONDS = 60.0
"""How long a failed order that holds nothing is followed while a service has no record of it.

Either the service has yet to receive the failure, or it never will, because the messages were lost.
"""


class OrderFeed:
    """One order's events, shared by all its followers."""

    def __init__(
        self, orderid: str, fetch: Fetch, runtime: Runtime, is_receiving: Callable[[], bool]
    ) -> None:
        self.orderid = orderid
        self._fetch = fetch
        self._runtime = runtime
        self._is_receiving = is_receiving
        self._wake_event = asyncio.Event()
        self._changed = asyncio.Event()
        self._has_history = False
        self._released_at: float | None = None
        """Since when the order is known to have failed and to hold nothing (monotonic)."""
        self.followers: list[Credentials] = []
        self.events: list[OrderEvent] = []
        """In the order they became known here; an order has a small, bounded number."""
        self.status: str | None = None
        """The ticket's status, if known."""
        self.is_settled = False
        """Whether nothing more will happen."""
        self.closed = False
        """Whether the feed is no longer kept up to date, because the process stops or the feed failed."""

    @property
    def _credentials(self) -> Credentials:
        """Those that expire last: the latest follower's may have expired while the client waits."""
        return max(reversed(self.followers), key=lambda each: each.expires_at)

    @property
    def is_terminal(self) -> bool:
        """Whether the ticket's status is terminal; services may still be settling."""
        return self.status in TERMINAL

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once the condition holds; it is checked at every change."""
        while not condition():
            await self._changed.wait()

    def receive(
        self, service: str, ticket: TicketMessage, time: str, is_reminder: bool, trace_id: str | None = None
    ) -> None:
        """Add a published event; for a reminder, or before the history is known, read the records instead."""
        event = OrderEvent.from_event(service, ticket, time, trace_id)
        if service != "purchase":
            # It has a record now, which a read that began before does not show.
            self._released_at = None
        # Events are never shown before the history that precedes them; a reminder's time is not the event's.
        if event is None or is_reminder or not self._has_history:
            self.wake()
            return
        self._add([event])
        if service == "purchase" and event.status in TERMINAL:
            self.status = event.status
        if self._changes_unpublished:
            self.wake()
        self._notify()

    def close(self) -> None:
        """Disconnect the followers; they reconnect elsewhere."""
        self.closed = True
        self._notify()

    def wake(self) -> None:
        """Read the records soon."""
        self._wake_event.set()

    async def run(self) -> None:
        """Keep the feed up to date until the order is settled, or the task is cancelled."""
        attempt = 0
        while not self.is_settled:
            attempt = 0 if self._wake_event.is_set() else attempt + 1
            self._wake_event.clear()
            complete = await self._refresh()
            events_suffice = complete and self._is_receiving() and not self._changes_unpublished
            backoff = SILENCE_BACKOFF if events_suffice else REFRESH_BACKOFF
            delay = self._runtime.random.uniform(0.5, 1) * backoff.max_delay(attempt)
            await first_completed(self._wake_event.wait(), self._runtime.sleep(delay))

    async def _refresh(self) -> bool:
        """Read the records. Returns whether every service replied."""
        try:
            snapshot = await self._fetch(self.orderid, self._credentials)
        except Unavailable as error:
            log.warning("order refresh failed", orderid=self.orderid, error=str(error))
            return False
        self._has_history = True
        self._add(snapshot.events())
        self.status = self.status if self.is_terminal else snapshot.status
        self.is_settled = snapshot.is_settled or self._records_timed_out(snapshot)
        self._notify()
        return snapshot.complete

    def _records_timed_out(self, snapshot: OrderSnapshot) -> bool:
        """Whether the order has held nothing for long enough, although a service has no record of it."""
        if not snapshot.complete:
            return False
        if not snapshot.is_released:
            self._released_at = None
            return False
        now = self._runtime.monotonic()
        if self._released_at is None:
            self._released_at = now
        return now - self._released_at >= RECORDS_TIMEOUT_SECONDS

    @property
    def _changes_unpublished(self) -> bool:
        """No event is published for sold, settled, released or refunded, nor for a recorded rejection; only
        the records show them.
        """
        return self.is_terminal or any(
            (event.service, event.status) == ("stock", RESERVE_FAILED) for event in self.events
        )

    def _add(self, events: Iterable[OrderEvent]) -> None:
        known = {event.key for event in self.events}
        self.events += [event for event in events if event.key not in known]

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class OrderFeeds:
    """The feeds of all orders that are being followed."""

    def __init__(self, fetch: Fetch, runtime: Runtime) -> None:
        self._fetch = fetch
        self._runtime = runtime
        self.is_receiving: Callable[[], bool] = lambda: True
        """Whether published events arrive here; while they do not, feeds read the records."""
        self._feeds: dict[str, OrderFeed] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._closed = False
        self._followed = asyncio.Event()
        self._unfollowed_at = 0.0

    async def followed(self) -> None:
        """Return once an order is being followed."""
        await self._followed.wait()

    async def unfollowed(self, seconds: float) -> None:
        """Return once no order has been followed for that long."""
        waits = seconds
        while waits > 0:
            await self._runtime.sleep(waits)
            idle_seconds = self._runtime.monotonic() - self._unfollowed_at
            waits = seconds if self._followed.is_set() else seconds - idle_seconds

    @asynccontextmanager
    async def follow(self, orderid: str, credentials: Credentials) -> AsyncIterator[OrderFeed]:
        """Context manager: the order's feed, up to date inside the block. Authorize the caller first."""
        feed = self._feeds.get(orderid) or self._start(orderid)
        feed.followers.append(credentials)
        try:
            yield feed
        finally:
            feed.followers.remove(credentials)
            if not feed.followers:
                del self._feeds[orderid]
                self._tasks.pop(orderid).cancel()
            if not self._feeds:
                self._unfollowed_at = self._runtime.monotonic()
                self._followed.clear()

    def receive(
        self, service: str, ticket: TicketMessage, time: str, is_reminder: bool, trace_id: str | None = None
    ) -> None:
        """Pass a published event to the order's feed, if it is being followed."""
        feed = self._feeds.get(ticket.orderid)
        if feed is not None:
            feed.receive(service, ticket, time, is_reminder, trace_id)

    def refresh(self) -> None:
        """Read all followed orders again: events may have been missed."""
        for feed in self._feeds.values():
            feed.wake()

    def close(self) -> None:
        """Disconnect all followers, and those who come later: the process stops."""
        self._closed = True
        for feed in self._feeds.values():
            feed.close()

    def _start(self, orderid: str) -> OrderFeed:
        feed = self._feeds[orderid] = OrderFeed(orderid, self._fetch, self._runtime, self.is_receiving)
        feed.closed = self._closed
        # In a context of its own, keeping only the trace: it outlives the request that started it.
        own = contextvars.Context()
        own.run(context.attach, context.get_current())
        task = asyncio.create_task(feed.run(), context=own)
        task.add_done_callback(lambda done: _close_failed(feed, done))
        self._tasks[orderid] = task
        self._followed.set()
        return feed


def _close_failed(feed: OrderFeed, task: "asyncio.Task[None]") -> None:
    """If the feed task crashed, disconnect its followers; they reconnect and start a new one."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.error("order feed failed", orderid=feed.orderid, exc_info=error)
        feed.close()
