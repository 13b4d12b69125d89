"""Queue depths of `sagactl top`: bounded, with the age of the oldest entry."""

import pytest

from contract.tickets import OPEN
from contract.topology import TOPOLOGY
from sagactl.dashboard import queue_depth
from sagactl.dashboard.queue_depth import (
    MAX_IDLE_SECONDS,
    REFRESH_INTERVAL_SECONDS,
    QueueDepth,
    count_dead_letters,
    idle_after,
    load_backlog,
)
from sagakit.events import Event, timestamp
from sagakit.outbox import Outbox
from sagakit.tables import Insert, Key, Row
from sagakit.testing.clock import START, Clock
from services.purchase.storage import ticket_entity, ticket_key
from services.purchase.ticket import Report, opened, reported
from tests.support.dashboard import CountedTables, DeadLetters

NOW = START + 100


@pytest.fixture
def tables():
    return CountedTables()


async def opened_at(tables, orderid, time, *reports):
    ticket = opened(orderid, "cart", (), time)
    for status in reports:
        ticket, _ = reported(ticket, Report("e", status, time + 1))
    due = time + 15 if ticket.status in OPEN or ticket.awaits_reply else None
    await tables.commit([Insert(ticket_key(orderid), ticket_entity(ticket, due))])


async def unpublished(tables, service, eventid, attributes):
    outbox = Outbox(f"{service.capitalize()}PublishEvent", Clock().runtime())
    await tables.commit(outbox.inserts([Event(eventid, "t", b"", attributes)]))


async def test_tickets_awaiting_a_reply_are_counted_by_status(tables):
    await opened_at(tables, "a", START)
    await opened_at(tables, "b", START + 70)
    await opened_at(tables, "c", START + 90, "reserved")
    await opened_at(tables, "d", START + 95, "paid")
    await opened_at(tables, "e", START, "reserve-failed")

    backlog = await load_backlog(tables, NOW)

    assert backlog.tickets == {
        "pre-approved": QueueDepth(2, 100),
        "reserved": QueueDepth(1, 10),
        "approved": QueueDepth(1, 5),
    }


async def test_unpublished_events_are_counted_by_service(tables):
    await unpublished(tables, "stock", "1", {"time": timestamp(START + 60)})
    await unpublished(tables, "stock", "2", {"time": timestamp(START + 30)})
    await unpublished(tables, "stock", "3", {"time": "yesterday"})
    await unpublished(tables, "payment", "4", {})

    backlog = await load_backlog(tables, NOW)

    expected = {"stock": QueueDepth(3, 70), "payment": QueueDepth(1, None)}
    assert backlog.outboxes == dict.fromkeys(TOPOLOGY.topics, QueueDepth()) | expected


async def test_queue_longer_than_the_row_limit_is_shown_as_more(tables, monkeypatch):
    monkeypatch.setattr(queue_depth, "MAX_ROWS", 10)
    for number in range(25):
        await opened_at(tables, f"o-{number}", START)
        await unpublished(tables, "delivery", f"e-{number}", {"time": timestamp(START)})

    backlog = await load_backlog(tables, NOW)

    assert tables.queries == 1 + len(TOPOLOGY.topics)
    assert backlog.tickets["pre-approved"] == QueueDepth(10, 100, more=True)
    assert backlog.tickets["reserved"] == QueueDepth(0, None, more=True), "the others may be reserved"
    assert backlog.outboxes["delivery"] == QueueDepth(10, 100, more=True)


async def test_corrupt_rows_are_left_out(tables):
    for orderid in "abc":
        await opened_at(tables, orderid, START)
    tables.rows[ticket_key("a")] = Row({**tables.rows[ticket_key("a")].entity, "history": [{}]}, 1)
    tables.rows[ticket_key("b")] = Row({**tables.rows[ticket_key("b")].entity, "status": "unheard-of"}, 1)
    for number, attributes in enumerate((None, [], {"time": 3}, {"time": "0001-01-01T00:00:00+23:59"}, {})):
        await tables.commit([Insert(Key("StockPublishEvent", str(number)), {"attributes": attributes})])

    backlog = await load_backlog(tables, NOW)

    assert backlog.tickets["pre-approved"] == QueueDepth(1, 100)
    assert backlog.outboxes["stock"].count == 5


async def test_row_of_a_clock_that_is_ahead_has_age_zero(tables):
    await unpublished(tables, "stock", "1", {"time": timestamp(NOW + 3)})

    assert (await load_backlog(tables, NOW)).outboxes["stock"] == QueueDepth(1, 0)


@pytest.mark.parametrize(
    ("count", "depth"),
    [
        (0, QueueDepth()),
        (7, QueueDepth(7)),
        (99, QueueDepth(99)),
        (9_000, QueueDepth(100, None, more=True)),
    ],
)
async def test_dead_letters_are_counted_up_to_a_bound_and_released(count, depth):
    dead_letters = DeadLetters(count)

    assert await count_dead_letters(dead_letters) == depth
    assert dead_letters.pulls == 1
    assert len(dead_letters.waiting) == count


def test_slow_tables_are_polled_less_often():
    assert idle_after(0.01) == REFRESH_INTERVAL_SECONDS
    assert idle_after(1) == 20
    assert idle_after(60) == MAX_IDLE_SECONDS
