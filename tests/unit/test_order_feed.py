"""The feed of one order: read once, then kept up to date by events."""

import asyncio
from dataclasses import replace

import pytest

from sagakit.runtime import Runtime
from sagakit.telemetry.spans import in_span
from sagakit.testing.clock import Clock
from services.gateway.order_feed.feed import RECORDS_TIMEOUT_SECONDS, OrderFeeds
from tests.support.eventually import eventually
from tests.support.order_feed import ME, Records, followed, idle, keys, read_again, ticket
from tests.support.traces import Traces, trace_id_of
from tests.unit.test_order_history import (
    APPROVED,
    CHARGED,
    REJECTED,
    RELEASED,
    RESERVED,
    SETTLED,
    SHIPPED,
    SOLD,
    moment,
    snapshot,
)


async def test_reads_belong_to_the_trace_of_the_first_follower():
    traces = Traces()
    with in_span(traces.tracer("gateway").start_span("GET")):
        async with followed(snapshot("pre-approved")) as (records, _, _):
            pass

    assert records.traces == {trace_id_of(traces.spans[0])}


async def test_events_are_added_without_reading():
    async with followed(snapshot("pre-approved")) as (records, feeds, feed):
        feeds.receive("stock", ticket("reserved", amount=300), moment(1), False)
        feeds.receive("payment", ticket("paid", amount=300), moment(2), False)
        await idle()

        assert keys(feed) == ["purchase.pre-approved", "stock.reserved", "payment.paid"]
        assert (feed.events[1].time, feed.events[1].amount) == (moment(1), 300)
        assert len(records.reads) == 1


async def test_event_on_record_is_not_added_again():
    async with followed(snapshot("pre-approved", reservation=RESERVED)) as (_, feeds, feed):
        feeds.receive("stock", ticket("reserved"), moment(5), False)
        await idle()

        assert keys(feed) == ["purchase.pre-approved", "stock.reserved"]


async def test_two_services_may_publish_the_same_status():
    async with followed(snapshot("pre-approved")) as (_, feeds, feed):
        feeds.receive("payment", ticket("payment-failed"), moment(1), False)
        feeds.receive("purchase", ticket("payment-failed"), moment(2), False)

        assert keys(feed)[1:] == ["payment.payment-failed", "purchase.payment-failed"]


async def test_status_is_terminal_once_purchase_has_published_it_and_never_changes_again():
    async with followed(snapshot("pre-approved")) as (_, feeds, feed):
        feeds.receive("payment", ticket("payment-failed"), moment(1), False)
        is_early = feed.is_terminal
        feeds.receive("purchase", ticket("payment-failed"), moment(2), False)
        feeds.receive("purchase", ticket("pre-approved"), moment(0), False)

        assert (is_early, feed.status) == (False, "payment-failed")


async def test_events_of_other_orders_are_ignored():
    async with followed(snapshot("pre-approved")) as (records, feeds, feed):
        feeds.receive("stock", replace(ticket("reserved"), orderid="o-2"), moment(1), False)
        await idle()

        assert keys(feed) == ["purchase.pre-approved"]
        assert len(records.reads) == 1


@pytest.mark.parametrize(
    ("service", "status", "is_reminder"),
    [("stock", "reserved", True), ("stock", "made-up", False), ("purchase", "reserve-failed", False)],
)
async def test_reminder_or_unknown_or_republished_status_triggers_a_read(service, status, is_reminder):
    """The sender of a reminder has missed an event, so this process may have missed it as well."""
    async with followed(snapshot("pre-approved")) as (records, feeds, feed):
        records.found = snapshot("pre-approved", reservation=RESERVED)

        feeds.receive(service, ticket(status), moment(30), is_reminder)

        await eventually(lambda: keys(feed)[1:] == ["stock.reserved"])
        assert feed.events[1].time == moment(1)


async def test_every_followed_order_is_read_after_a_gap():
    async with followed(snapshot("pre-approved")) as (records, feeds, feed):
        records.found = snapshot("pre-approved", reservation=RESERVED, charge=CHARGED)

        feeds.refresh()

        await eventually(lambda: "payment.paid" in keys(feed))


async def test_event_during_the_first_read_is_not_shown_before_the_history():
    records = Records(snapshot("pre-approved"))
    records.unblocked.clear()
    feeds = OrderFeeds(records.fetch, Runtime())
    async with feeds.follow("o-1", ME) as feed:
        await eventually(lambda: records.reads)
        records.found = snapshot("pre-approved", reservation=RESERVED)
        feeds.receive("stock", ticket("reserved"), moment(1), False)
        assert not feed.events

        records.unblocked.set()

        await eventually(lambda: keys(feed) == ["purchase.pre-approved", "stock.reserved"])


async def test_terminal_order_is_read_until_it_is_settled():
    open_order = snapshot("pre-approved", reservation=RESERVED, charge=CHARGED)
    async with followed(open_order) as (records, feeds, feed):
        records.found = snapshot(*APPROVED, reservation=RESERVED, charge=CHARGED, shipment=SHIPPED)
        feeds.receive("purchase", ticket("approved"), moment(3), False)
        assert feed.is_terminal
        await eventually(lambda: len(records.reads) >= 4)
        assert not feed.is_settled

        records.found = snapshot(*APPROVED, reservation=SOLD, charge=SETTLED, shipment=SHIPPED)
        await eventually(lambda: feed.is_settled)

        reads = len(records.reads)
        await idle()
        assert len(records.reads) == reads
        assert {"stock.sold", "payment.settled"} <= set(keys(feed))


async def test_order_is_read_at_once_when_only_the_records_show_what_follows():
    clock, records = Clock(), Records(snapshot("pre-approved"))
    feeds = OrderFeeds(records.fetch, clock.runtime())
    async with feeds.follow("o-1", ME) as feed:
        await eventually(lambda: feed.events)

        feeds.receive("purchase", ticket("approved"), moment(1), False)

        await eventually(lambda: len(records.reads) == 2)


async def test_order_without_stock_is_read_until_purchase_has_recorded_it():
    async with followed(snapshot("pre-approved")) as (records, feeds, feed):
        feeds.receive("stock", ticket("reserve-failed", reason="sold-out"), moment(1), False)
        await eventually(lambda: len(records.reads) >= 3)

        records.found = snapshot("pre-approved", "reserve-failed", reservation=REJECTED)

        await eventually(lambda: feed.is_settled)
        assert keys(feed)[-1] == "purchase.reserve-failed"


async def test_feed_of_a_failed_order_of_which_a_service_has_no_record_ends_after_a_while():
    """Its messages were lost, and a failed ticket whose reservation is released repeats none."""
    time = 1_000.0
    records = Records(snapshot("pre-approved", "canceled", reservation=RELEASED))
    feeds = OrderFeeds(records.fetch, Runtime(monotonic=lambda: time))

    async with feeds.follow("o-1", ME) as feed:
        await eventually(lambda: feed.events)
        time += RECORDS_TIMEOUT_SECONDS - 1
        await read_again(records, feeds)
        too_early = feed.is_settled
        records.found = snapshot("pre-approved", "canceled", reservation=RELEASED, charge=CHARGED)
        await read_again(records, feeds)
        time += RECORDS_TIMEOUT_SECONDS
        records.found = snapshot("pre-approved", "canceled", reservation=RELEASED)
        await read_again(records, feeds)
        after_an_open_charge = feed.is_settled
        time += RECORDS_TIMEOUT_SECONDS
        await read_again(records, feeds)

        assert (too_early, after_an_open_charge, feed.is_settled) == (False, False, True)


async def test_records_from_before_the_end_do_not_reopen_an_order():
    async with followed(snapshot("pre-approved")) as (records, feeds, feed):
        feeds.receive("purchase", ticket("canceled"), moment(1), False)
        await eventually(lambda: len(records.reads) > 1)
        await idle()

        assert (feed.status, feed.is_terminal) == ("canceled", True)


async def test_feed_of_a_failed_order_ends_although_a_service_was_unavailable_meanwhile():
    time = 1_000.0
    records = Records(snapshot("pre-approved", "canceled", reservation=RELEASED))
    feeds = OrderFeeds(records.fetch, Runtime(monotonic=lambda: time))

    async with feeds.follow("o-1", ME) as feed:
        await eventually(lambda: feed.events)
        known = records.found
        records.found = replace(known, complete=False)
        await read_again(records, feeds)
        time += RECORDS_TIMEOUT_SECONDS
        await read_again(records, feeds)
        too_early = feed.is_settled
        records.found = known
        await read_again(records, feeds)

        assert (too_early, feed.is_settled) == (False, True)


async def test_feed_of_a_failed_order_does_not_end_by_a_read_that_an_event_has_overtaken():
    """Stock has just received the order, a minute late, and will release what it reserved."""
    time = 1_000.0
    records = Records(snapshot("pre-approved", "canceled"))
    feeds = OrderFeeds(records.fetch, Runtime(monotonic=lambda: time))

    async with feeds.follow("o-1", ME) as feed:
        await eventually(lambda: feed.events)
        time += RECORDS_TIMEOUT_SECONDS
        records.unblocked.clear()
        reads = len(records.reads)
        feeds.refresh()
        await eventually(lambda: len(records.reads) > reads)
        feeds.receive("stock", ticket("reserved"), moment(61), False)
        records.unblocked.set()
        await idle()

        assert (keys(feed)[-1], feed.is_settled) == ("stock.reserved", False)


async def test_open_order_is_not_read_without_events():
    async with followed(snapshot("pre-approved", "reserved", reservation=RESERVED)) as (records, _, _):
        await asyncio.sleep(0.5)

        assert len(records.reads) == 1


async def test_order_is_read_until_it_is_settled_while_no_events_are_received():
    async with followed(snapshot("pre-approved"), is_receiving=False) as (records, _, feed):
        await eventually(lambda: len(records.reads) >= 4)

        records.found = snapshot(*APPROVED, reservation=SOLD, charge=SETTLED, shipment=SHIPPED)

        await eventually(lambda: feed.is_settled)


async def test_silent_order_is_read_at_growing_intervals():
    """An event may be lost without a sign: the pull of a subscription outlives its topic."""
    clock, records = Clock(), Records(snapshot("pre-approved"))
    feeds = OrderFeeds(records.fetch, clock.runtime())
    async with feeds.follow("o-1", ME) as feed:
        reads = []
        for _ in range(4):
            await clock.advance(60)
            reads.append(len(records.reads))
        assert 4 <= reads[0] <= 6
        assert reads[3] <= reads[0] + 6

        records.found = snapshot(*APPROVED, reservation=SOLD, charge=SETTLED, shipment=SHIPPED)
        await clock.advance(60)

        assert feed.is_settled


async def test_order_is_read_again_while_a_service_is_unavailable():
    async with followed(snapshot("pre-approved", complete=False)) as (records, _, feed):
        records.available = False
        await eventually(lambda: len(records.reads) >= 3)
        records.available, records.found = True, snapshot("pre-approved", reservation=RESERVED)

        await eventually(lambda: "stock.reserved" in keys(feed))
