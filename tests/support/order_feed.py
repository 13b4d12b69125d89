"""The feed of an order whose records stand in for the services'."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from contract.order_history import OrderSnapshot
from contract.tickets import TicketMessage
from sagakit.errors import Unavailable
from sagakit.runtime import Runtime
from sagakit.telemetry.traceparent import current_trace_id
from services.gateway.auth import Credentials
from services.gateway.order_feed.feed import OrderFeed, OrderFeeds
from tests.support.eventually import eventually

ME = Credentials("token")


class Records:
    """Stands in for the services' records: counts reads, and fails or blocks on demand."""

    def __init__(self, found: OrderSnapshot) -> None:
        self.found = found
        self.available = True
        self.reads: list[str] = []
        """The token of each read."""
        self.traces: set[str | None] = set()
        self.unblocked = asyncio.Event()
        self.unblocked.set()

    async def fetch(self, orderid: str, credentials: Credentials) -> OrderSnapshot:
        self.reads.append(credentials.token)
        self.traces.add(current_trace_id())
        found = self.found
        await self.unblocked.wait()
        if not self.available:
            raise Unavailable("purchase is unavailable")
        return found


@asynccontextmanager
async def followed(
    found: OrderSnapshot, *, is_receiving: bool = True
) -> AsyncIterator[tuple[Records, OrderFeeds, OrderFeed]]:
    """An order being followed, whose history has been read."""
    records = Records(found)
    feeds = OrderFeeds(records.fetch, Runtime())
    feeds.is_receiving = lambda: is_receiving
    async with feeds.follow("o-1", ME) as feed:
        await eventually(lambda: feed.events)
        yield records, feeds, feed


def ticket(status: str, **more) -> TicketMessage:
    return TicketMessage("o-1", status, (), **more)


def keys(feed: OrderFeed) -> list[str]:
    return [event.key for event in feed.events]


async def idle() -> None:
    """Let every ready task run until it waits."""
    for _ in range(20):
        await asyncio.sleep(0)


async def read_again(records: Records, feeds: OrderFeeds) -> None:
    """Have the order read, and return afterwards."""
    reads = len(records.reads)
    feeds.refresh()
    await eventually(lambda: len(records.reads) > reads, pause=0)
    await idle()
