"""The dashboard of `sagactl top`: subscriptions, polling, warnings and clean-up."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
import structlog

from contract.topology import TOPOLOGY
from sagactl.dashboard.dashboard import (
    DEAD_LETTERS_INTERVAL_SECONDS,
    PROGRAMS_INTERVAL_SECONDS,
    WARNING_SECONDS,
    Dashboard,
    DataSources,
)
from sagactl.dashboard.queue_depth import REFRESH_INTERVAL_SECONDS, QueueDepth
from sagactl.dashboard.screen import screen
from sagakit.backends import Broker
from sagakit.bus import Message
from sagakit.errors import Unavailable
from sagakit.fanout import CHECK_INTERVAL_SECONDS, EPHEMERAL_PREFIX
from sagakit.testing.clock import Clock
from tests.support.dashboard import CountedTables, DeadLetters
from tests.support.manual_bus import ManualBus

EVENT = {"eventid": "e", "type": "purchase.OrderTicket"}


class Provisioner:
    """Keeps the specifications of the subscriptions."""

    def __init__(self):
        self.subscriptions = {}
        self.unavailable = False

    async def ensure_subscription(self, spec):
        if self.unavailable:
            raise Unavailable("the broker is unavailable")
        self.subscriptions[spec.name] = spec

    async def remove_subscription(self, name):
        self.subscriptions.pop(name, None)


class Suite:
    """The sources of a dashboard, and the dashboard."""

    def __init__(self):
        self.clock = Clock()
        self.bus, self.provisioner, self.tables = ManualBus(), Provisioner(), CountedTables()
        self.dead_letters = DeadLetters(1)
        self.programs = [{"name": "stock", "state": "running"}]
        broker = Broker(self.bus, self.provisioner)
        sources = DataSources("here", broker, self.tables, self.open_dead_letters, self._list_programs)
        self.dashboard = Dashboard(sources, self.clock.runtime())

    @asynccontextmanager
    async def open_dead_letters(self):
        yield self.dead_letters

    async def _list_programs(self):
        if self.programs is None:
            raise Unavailable("the suite does not answer")
        return self.programs

    def publish(self, topic, status="reserved"):
        body = json.dumps({"orderid": "o-1", "status": status, "cart_items": []}).encode()
        (name,) = [name for name in self.bus.pulls if name.endswith(topic)]
        self.bus.pulls[name][-1].deliver(Message(body, {"eventid": "e", "type": "purchase.OrderTicket"}))


@pytest.fixture
async def suite():
    suite = Suite()
    async with suite.dashboard.run():
        await suite.clock.advance(0)
        yield suite
    assert suite.provisioner.subscriptions == {}, "all are deleted on exit"


async def test_every_topic_has_an_ephemeral_subscription(suite):
    specs = suite.provisioner.subscriptions.values()

    assert sorted(spec.topic for spec in specs) == sorted(TOPOLOGY.all_topics())
    assert all(spec.name.startswith(EPHEMERAL_PREFIX) for spec in specs)
    assert all(spec.expires_after_seconds <= 24 * 3600 for spec in specs)
    assert suite.dashboard.state().listening
    assert suite.dashboard.loaded.is_set()


async def test_published_events_are_in_the_summary(suite):
    suite.publish(TOPOLOGY.topics["stock"])
    suite.publish(TOPOLOGY.topics["payment"], "paid")

    events = suite.dashboard.state().summary.events

    assert [(each.service, each.status) for each in events] == [("stock", "reserved"), ("payment", "paid")]


@pytest.mark.parametrize(
    "message",
    [
        Message(b"[" * 100_000, EVENT),
        Message(b'{"orderid": ' + b"9" * 10_000 + b"}", EVENT),
        Message(b"\xff", EVENT),
        Message(b'{"orderid": "o", "status": "\\ud800"}', EVENT),
        Message(b'{"orderid": "o", "status": "paid"}', {**EVENT, "eventid": "a\nb"}),
        Message(b'{"orderid": "o", "status": "paid"}', {}),
        Message(b'{"orderid": "o", "status": "paid"}', {**EVENT, "time": "0001-01-01T00:00:00"}),
        Message(b'{"orderid": "o", "status": "paid"}', {**EVENT, "time": "9999-12-31T23:59:59-23:59"}),
        Message(
            b'{"orderid": "o", "status": "paid", "reason": "\\u001b[2J"}', {**EVENT, "traceparent": "\x1b"}
        ),
    ],
    ids=lambda message: f"{message.data[:40]!r} {message.attributes.get('time', '')}",
)
async def test_hostile_message_hides_no_event(suite, message):
    for topic in (TOPOLOGY.topics["payment"], TOPOLOGY.dead_letter_topic):
        (name,) = [name for name in suite.bus.pulls if name.endswith(topic)]
        suite.bus.pulls[name][-1].deliver(message)
    suite.publish(TOPOLOGY.topics["stock"])

    state = suite.dashboard.state()

    assert "reserved" in [each.status for each in state.summary.events]
    screen(state, 120, 40)
    json.dumps(state.to_json())


async def test_dead_letter_counts_at_once_until_the_next_count(suite):
    assert suite.dashboard.state().dead_letters == QueueDepth(1)

    suite.publish(TOPOLOGY.dead_letter_topic)
    assert suite.dashboard.state().dead_letters == QueueDepth(2)
    assert suite.dashboard.state().summary.dead_letters == 1

    await suite.clock.advance(DEAD_LETTERS_INTERVAL_SECONDS + 1)
    assert suite.dashboard.state().dead_letters == QueueDepth(1), "one was redriven meanwhile"
    assert suite.dead_letters.waiting, "the counted one was released"


async def test_tables_are_polled(suite):
    before = suite.tables.queries

    await suite.clock.advance(10 * REFRESH_INTERVAL_SECONDS)

    assert suite.tables.queries == before + 10 * (1 + len(TOPOLOGY.topics))


async def test_unavailable_tables_are_a_warning_until_they_recover(suite):
    suite.tables.unavailable = True
    await suite.clock.advance(REFRESH_INTERVAL_SECONDS)
    state = suite.dashboard.state()
    assert (state.backlog, state.warning) == (None, "refresh failed: no tables")

    suite.tables.unavailable = False
    await suite.clock.advance(REFRESH_INTERVAL_SECONDS + WARNING_SECONDS)

    assert suite.dashboard.state().backlog is not None
    assert suite.dashboard.state().warning == ""


async def test_ended_suite_has_no_processes(suite):
    assert suite.dashboard.state().programs == suite.programs

    suite.programs = None
    await suite.clock.advance(PROGRAMS_INTERVAL_SECONDS)

    assert suite.dashboard.state().programs == []
    assert suite.dashboard.state().warning == "the suite does not answer"


async def test_log_lines_are_shown_as_warnings(suite):
    warn = suite.dashboard.warn
    for line in ({"event": "ephemeral subscription lost", "error": "why"}, {"event": "stopped"}):
        with pytest.raises(structlog.DropEvent):
            warn(None, "warning", line)

    assert suite.dashboard.state().warning == "stopped"
    await suite.clock.advance(WARNING_SECONDS)
    assert suite.dashboard.state().warning == ""


async def test_dashboard_waits_for_an_unavailable_broker():
    suite = Suite()
    suite.provisioner.unavailable = True
    async with suite.dashboard.run():
        await suite.clock.advance(1)
        assert not suite.dashboard.state().listening

        suite.provisioner.unavailable = False
        await suite.clock.advance(10)

        assert suite.dashboard.state().listening


async def test_dashboard_shows_that_it_receives_nothing(suite):
    suite.bus.unavailable = True
    await suite.clock.advance(CHECK_INTERVAL_SECONDS + 1)
    assert not suite.dashboard.state().listening

    suite.bus.unavailable = False
    await suite.clock.advance(CHECK_INTERVAL_SECONDS + 1)

    assert suite.dashboard.state().listening


async def test_suite_that_is_not_local_has_no_processes():
    broker = Broker(ManualBus(), Provisioner())
    sources = DataSources("there", broker, CountedTables(), Suite().open_dead_letters, None)
    dashboard = Dashboard(sources, Clock().runtime())
    async with dashboard.run():
        await asyncio.wait_for(dashboard.loaded.wait(), 5)

    assert dashboard.state().programs is None
    json.dumps(dashboard.state().to_json())
