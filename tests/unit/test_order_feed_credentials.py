"""The credentials with which the records of a followed order are read."""

import asyncio
from contextlib import AsyncExitStack

from contract.order_history import OrderSnapshot
from sagakit.runtime import Runtime
from services.gateway.auth import Credentials
from services.gateway.order_feed.feed import OrderFeeds
from tests.unit.test_order_history import RESERVED, snapshot


async def test_records_are_read_with_the_token_that_expires_last():
    read = asyncio.Queue[str]()

    async def fetch(orderid: str, credentials: Credentials) -> OrderSnapshot:
        read.put_nowait(credentials.token)
        return snapshot("reserved", reservation=RESERVED)

    feeds = OrderFeeds(fetch, Runtime())
    async with AsyncExitStack() as stack:
        for token, expires_at in (("early", 100.0), ("late", 900.0), ("latest follower", 200.0)):
            await stack.enter_async_context(feeds.follow("o-1", Credentials(token, expires_at)))

        assert await asyncio.wait_for(read.get(), 10) == "late"
