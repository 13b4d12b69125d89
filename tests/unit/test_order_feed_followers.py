"""The followers of an order's feed: they share its reads, and end with it."""

import asyncio

from structlog.testing import capture_logs

from contract.order_history import OrderSnapshot
from sagakit import deadline
from sagakit.runtime import Runtime
from sagakit.testing.clock import Clock
from services.gateway.auth import Credentials
from services.gateway.order_feed.feed import OrderFeeds
from tests.support.eventually import eventually
from tests.support.order_feed import ME, Records, followed, idle, keys, ticket
from tests.unit.test_order_history import moment, snapshot


async def test_followers_share_reads_with_the_latest_ones_token():
    async with followed(snapshot("pre-approved")) as (records, feeds, feed):
        async with feeds.follow("o-1", Credentials("other")) as second:
            assert second is feed
            await idle()
            assert records.reads == ["token"]
            feed.wake()
            await eventually(lambda: records.reads == ["token", "other"])
        feed.wake()
        await eventually(lambda: records.reads == ["token", "other", "token"])


async def test_followers_learn_of_an_event_when_it_is_received():
    async with followed(snapshot("pre-approved")) as (records, feeds, feed):
        waiting = asyncio.create_task(feed.until(lambda: "stock.reserved" in keys(feed)))
        await idle()

        feeds.receive("stock", ticket("reserved"), moment(1), False)

        async with asyncio.timeout(5):
            await waiting
        assert len(records.reads) == 1


async def test_feed_ends_with_its_last_follower():
    async with followed(snapshot("pre-approved")) as (records, feeds, feed):
        pass

    with capture_logs() as logs:
        feeds.receive("stock", ticket("reserved"), moment(1), True)
        feed.wake()
        await idle()

    assert (len(records.reads), logs) == (1, [])
    async with feeds.follow("o-1", ME) as another:
        assert another is not feed


async def test_orders_are_unfollowed_a_while_after_the_last_follower():
    clock = Clock()
    feeds = OrderFeeds(Records(snapshot("pre-approved")).fetch, clock.runtime())
    first = asyncio.create_task(feeds.followed())
    await idle()
    assert not first.done()

    async with feeds.follow("o-1", ME):
        await first
        unfollowed = asyncio.create_task(feeds.unfollowed(60))
        await clock.advance(60.5)
        assert not unfollowed.done()
    await clock.advance(59.75)
    is_early = unfollowed.done()
    await clock.advance(0.25)

    assert (is_early, unfollowed.done()) == (False, True)
    again = asyncio.create_task(feeds.followed())
    await idle()
    assert not again.done()
    again.cancel()


async def test_feed_outlives_the_deadline_of_the_request_that_started_it():
    allowed = asyncio.Queue[float]()

    async def fetch(orderid: str, credentials: Credentials) -> OrderSnapshot:
        allowed.put_nowait(deadline.remaining(60))
        return snapshot("pre-approved")

    with deadline.set_deadline(5):
        async with OrderFeeds(fetch, Runtime()).follow("o-1", ME):
            assert await asyncio.wait_for(allowed.get(), 10) == 60


async def test_followers_are_disconnected_when_the_process_stops():
    async with followed(snapshot("pre-approved")) as (_, feeds, feed):
        waiting = asyncio.create_task(feed.until(lambda: feed.closed))
        await idle()

        feeds.close()

        async with asyncio.timeout(5):
            await waiting
        async with feeds.follow("o-2", ME) as late:
            assert late.closed


async def test_followers_of_a_failed_feed_are_disconnected():
    async def fetch(orderid: str, credentials: Credentials) -> OrderSnapshot:
        raise ZeroDivisionError

    feeds = OrderFeeds(fetch, Runtime())
    with capture_logs() as logs:
        async with feeds.follow("o-1", ME) as feed, asyncio.timeout(5):
            await feed.until(lambda: feed.closed)

    assert [line["event"] for line in logs] == ["order feed failed"]
