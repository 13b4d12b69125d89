"""Listening and looking for `sagactl top`: what it knows, what it says it cannot know, what it leaves."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
import structlog

from contract.topology import DEAD_LETTER_TOPIC, EPHEMERAL_PREFIX, TOPICS
from sagactl.dashboard.dashboard import (
    DEAD_LETTERS_INTERVAL_SECONDS,
    PROGRAMS_INTERVAL_SECONDS,
    WARNING_SECONDS,
    Dashboard,
    DataSources,
)
from sagactl.dashboard.queue_depth import REFRESH_INTERVAL_SECONDS, QueueDepth
from sagakit.backends import Broker
from sagakit.bus import Message, PulledMessage
from sagakit.errors import Unavailable
from tests.support.clock import Clock
from tests.support.manual_bus import ManualBus
from tests.support.tables import MemoryTables


class Provisioner:
    """Knows which subscriptions there are."""

    def __init__(self):
        self.there = {}
        self.away = False

    async def ensure_subscription(self, spec):
        if self.away:
            raise Unavailable("the broker is away")
        self.there[spec.name] = spec

    async def remove_subscription(self, name):
        self.there.pop(name, None)


class Tables(MemoryTables):
    away = False
    looks = 0

    async def due(self, *args):
        self.looks += 1
        if self.away:
            raise Unavailable("no tables")
        return await super().due(*args)


class Suite:
    """Everything that is watched, and the one who watches."""

    def __init__(self):
        self.clock = Clock()
        self.bus, self.provisioner, self.tables = ManualBus(), Provisioner(), Tables()
        self.dead_letters = [PulledMessage("1", Message(b"", {}))]
        self.programs = [{"name": "stock", "state": "running"}]
        sources = DataSources(
            "here", Broker(self.bus, self.provisioner), self.tables, self._dead_letter_depth, self._ask
        )
        self.dashboard = Dashboard(sources, self.clock.runtime())

    @asynccontextmanager
    async def _dead_letter_depth(self):
        yield self

    async def pull(self, limit):
        taken, self.dead_letters = self.dead_letters[:limit], self.dead_letters[limit:]
        return taken

    async def release(self, held):
        self.dead_letters = [*held, *self.dead_letters]

    async def _ask(self):
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
    assert suite.provisioner.there == {}, "nothing is left at the broker"


async def test_it_hears_every_topic_and_the_dead_letters_by_subscriptions_of_its_own_that_expire(suite):
    specs = suite.provisioner.there.values()

    assert sorted(spec.topic for spec in specs) == sorted([*TOPICS.values(), DEAD_LETTER_TOPIC])
    assert all(spec.name.startswith(EPHEMERAL_PREFIX) for spec in specs)
    assert all(spec.expires_after_seconds <= 24 * 3600 for spec in specs)
    assert suite.dashboard.state().listening
    assert suite.dashboard.loaded.is_set()


async def test_what_services_say_is_on_the_board(suite):
    suite.publish(TOPICS["stock"])
    suite.publish(TOPICS["payment"], "paid")

    events = suite.dashboard.state().summary.events

    assert [(each.service, each.status) for each in events] == [("stock", "reserved"), ("payment", "paid")]


async def test_a_dead_letter_counts_at_once_and_is_counted_again_later(suite):
    assert suite.dashboard.state().dead_letters == QueueDepth(1)

    suite.publish(DEAD_LETTER_TOPIC)
    assert suite.dashboard.state().dead_letters == QueueDepth(2)
    assert suite.dashboard.state().summary.dead_letters == 1

    await suite.clock.advance(DEAD_LETTERS_INTERVAL_SECONDS + 1)
    assert suite.dashboard.state().dead_letters == QueueDepth(1), "somebody has put one back meanwhile"
    assert suite.dead_letters, "what was counted was given back"


async def test_tables_are_looked_at_now_and_then(suite):
    looks = suite.tables.looks

    await suite.clock.advance(10 * REFRESH_INTERVAL_SECONDS)

    assert suite.tables.looks == looks + 10


async def test_tables_that_are_away_are_said_to_be_and_found_again(suite):
    suite.tables.away = True
    await suite.clock.advance(REFRESH_INTERVAL_SECONDS)
    state = suite.dashboard.state()
    assert (state.backlog, state.warning) == (None, "cannot look: no tables")

    suite.tables.away = False
    await suite.clock.advance(REFRESH_INTERVAL_SECONDS + WARNING_SECONDS)

    assert suite.dashboard.state().backlog is not None
    assert suite.dashboard.state().warning == ""


async def test_processes_are_asked_for_and_a_suite_that_is_gone_has_none(suite):
    assert suite.dashboard.state().programs == suite.programs

    suite.programs = None
    await suite.clock.advance(PROGRAMS_INTERVAL_SECONDS)

    assert suite.dashboard.state().programs == []
    assert suite.dashboard.state().warning == "the suite does not answer"


async def test_what_would_be_logged_is_shown_for_a_while(suite):
    warn = suite.dashboard.warn
    for line in ({"event": "fan-out subscription lost", "error": "why"}, {"event": "so it is"}):
        with pytest.raises(structlog.DropEvent):
            warn(None, "warning", line)

    assert suite.dashboard.state().warning == "so it is"
    await suite.clock.advance(WARNING_SECONDS)
    assert suite.dashboard.state().warning == ""


async def test_a_broker_that_is_away_ends_nothing():
    suite = Suite()
    suite.provisioner.away = True
    async with suite.dashboard.run():
        await suite.clock.advance(1)
        assert not suite.dashboard.state().listening

        suite.provisioner.away = False
        await suite.clock.advance(10)

        assert suite.dashboard.state().listening


async def test_without_a_local_suite_there_are_no_processes():
    sources = DataSources(
        "there", Broker(ManualBus(), Provisioner()), Tables(), Suite()._dead_letter_depth, None
    )
    dashboard = Dashboard(sources, Clock().runtime())
    async with dashboard.run():
        await asyncio.wait_for(dashboard.loaded.wait(), 5)

    assert dashboard.state().programs is None
    json.dumps(dashboard.state().to_json())
