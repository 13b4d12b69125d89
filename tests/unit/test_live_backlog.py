"""What waits, as `sagactl watch` finds it: bounded, with the age of the oldest."""

import pytest

from contract.tickets import OPEN
from sagactl.dashboard import queue_depth as backlogs
from sagactl.dashboard.queue_depth import (
    EVERY_SECONDS,
    MAX_IDLE_SECONDS,
    Pile,
    count_letters,
    read_backlog,
    rest_after,
)
from sagakit.bus import Message, PulledMessage
from sagakit.events import Event, timestamp
from sagakit.outbox import Outbox
from sagakit.tables import Insert
from services.purchase.storage import ticket_entity, ticket_key
from services.purchase.ticket import Report, opened, reported
from tests.support.clock import START, Clock
from tests.support.tables import MemoryTables

NOW = START + 100


class CountedTables(MemoryTables):
    def __init__(self):
        super().__init__()
        self.queries = 0

    async def due(self, *args):
        self.queries += 1
        return await super().due(*args)

    async def page(self, *args):
        self.queries += 1
        return await super().page(*args)


@pytest.fixture
def tables():
    return CountedTables()


async def opened_at(tables, orderid, when, *reports):
    ticket = opened(orderid, "cart", (), when)
    for status in reports:
        ticket, _ = reported(ticket, Report("e", status, when + 1))
    due = when + 15 if ticket.status in OPEN or ticket.awaits_reply else None
    await tables.commit([Insert(ticket_key(orderid), ticket_entity(ticket, due))])


async def unsent(tables, service, eventid, attributes):
    outbox = Outbox(f"{service.capitalize()}PublishEvent", Clock().runtime())
    await tables.commit(outbox.inserts([Event(eventid, "t", b"", attributes)]))


async def test_tickets_that_wait_are_counted_by_status_with_the_age_of_the_oldest(tables):
    await opened_at(tables, "a", START)
    await opened_at(tables, "b", START + 70)
    await opened_at(tables, "c", START + 90, "reserved")
    await opened_at(tables, "d", START + 95, "paid")
    await opened_at(tables, "e", START, "reserve-failed")

    backlog = await read_backlog(tables, NOW)

    assert backlog.tickets == {"pre-approved": Pile(2, 100), "reserved": Pile(1, 10), "approved": Pile(1, 5)}


async def test_events_that_wait_are_counted_by_service_with_the_age_of_the_oldest(tables):
    await unsent(tables, "stock", "1", {"time": timestamp(START + 60)})
    await unsent(tables, "stock", "2", {"time": timestamp(START + 30)})
    await unsent(tables, "stock", "3", {"time": "yesterday"})
    await unsent(tables, "payment", "4", {})

    backlog = await read_backlog(tables, NOW)

    assert backlog.outboxes == {
        "purchase": Pile(),
        "stock": Pile(3, 70),
        "payment": Pile(1, None),
        "delivery": Pile(),
    }


async def test_a_look_is_five_queries_however_much_there_is_and_says_where_there_is_more(tables, monkeypatch):
    monkeypatch.setattr(backlogs, "MOST", 10)
    for number in range(25):
        await opened_at(tables, f"o-{number}", START)
        await unsent(tables, "delivery", f"e-{number}", {"time": timestamp(START)})

    backlog = await read_backlog(tables, NOW)

    assert tables.queries == 5
    assert backlog.tickets["pre-approved"] == Pile(10, 100, more=True)
    assert backlog.tickets["reserved"] == Pile()
    assert backlog.outboxes["delivery"] == Pile(10, 100, more=True)


async def test_a_row_of_a_clock_that_is_ahead_is_not_younger_than_nothing(tables):
    await unsent(tables, "stock", "1", {"time": timestamp(NOW + 3)})

    assert (await read_backlog(tables, NOW)).outboxes["stock"] == Pile(1, 0)


class Letters:
    """A subscription that remembers what was given back."""

    def __init__(self, count):
        self._waiting = [PulledMessage(str(number), Message(b"", {})) for number in range(count)]
        self.given_back = []

    async def pull(self, limit):
        taken, self._waiting = self._waiting[:limit], self._waiting[limit:]
        return taken

    async def release(self, held):
        self.given_back += held


@pytest.mark.parametrize(
    ("there", "counted"), [(0, Pile()), (7, Pile(7)), (450, Pile(450)), (9_000, Pile(500, None, more=True))]
)
async def test_dead_letters_are_counted_up_to_a_bound_and_all_given_back(there, counted):
    letters = Letters(there)

    assert await count_letters(letters) == counted
    assert len(letters.given_back) == counted.count


def test_slow_tables_are_left_alone_for_longer():
    assert rest_after(0.01) == EVERY_SECONDS
    assert rest_after(1) == 20
    assert rest_after(60) == MAX_IDLE_SECONDS
