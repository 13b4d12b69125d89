"""Listening and looking for `sagactl watch`: what it knows, what it says it cannot know, what it leaves."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
import structlog

from contract.topology import DEAD_LETTER_TOPIC, EPHEMERAL_PREFIX, TOPICS
from sagactl.dashboard.dashboard import (
    DEAD_LETTERS_INTERVAL_SECONDS,
    PROGRAMS_SECONDS,
    TROUBLE_SECONDS,
    Sources,
    Watching,
)
from sagactl.dashboard.queue_depth import EVERY_SECONDS, Pile
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
        self.letters = [PulledMessage("1", Message(b"", {}))]
        self.programs = [{"name": "stock", "state": "running"}]
        sources = Sources("here", Broker(self.bus, self.provisioner), self.tables, self._letters, self._ask)
        self.watching = Watching(sources, self.clock.runtime())

    @asynccontextmanager
    async def _letters(self):
        yield self

    async def pull(self, limit):
        taken, self.letters = self.letters[:limit], self.letters[limit:]
        return taken

    async def release(self, held):
        self.letters = [*held, *self.letters]

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
    async with suite.watching.going_on():
        await suite.clock.advance(0)
        yield suite
    assert suite.provisioner.there == {}, "nothing is left at the broker"


async def test_it_hears_every_topic_and_the_dead_letters_by_subscriptions_of_its_own_that_expire(suite):
    specs = suite.provisioner.there.values()

    assert sorted(spec.topic for spec in specs) == sorted([*TOPICS.values(), DEAD_LETTER_TOPIC])
    assert all(spec.name.startswith(EPHEMERAL_PREFIX) for spec in specs)
    assert all(spec.expires_after_seconds <= 24 * 3600 for spec in specs)
    assert suite.watching.state().listening
    assert suite.watching.looked.is_set()


async def test_what_services_say_is_on_the_board(suite):
    suite.publish(TOPICS["stock"])
    suite.publish(TOPICS["payment"], "paid")

    said = suite.watching.state().figures.said

    assert [(each.service, each.status) for each in said] == [("stock", "reserved"), ("payment", "paid")]


async def test_a_dead_letter_counts_at_once_and_is_counted_again_later(suite):
    assert suite.watching.state().letters == Pile(1)

    suite.publish(DEAD_LETTER_TOPIC)
    assert suite.watching.state().letters == Pile(2)
    assert suite.watching.state().figures.dead_letters == 1

    await suite.clock.advance(DEAD_LETTERS_INTERVAL_SECONDS + 1)
    assert suite.watching.state().letters == Pile(1), "somebody has put one back meanwhile"
    assert suite.letters, "what was counted was given back"


async def test_tables_are_looked_at_now_and_then(suite):
    looks = suite.tables.looks

    await suite.clock.advance(10 * EVERY_SECONDS)

    assert suite.tables.looks == looks + 10


async def test_tables_that_are_away_are_said_to_be_and_found_again(suite):
    suite.tables.away = True
    await suite.clock.advance(EVERY_SECONDS)
    state = suite.watching.state()
    assert (state.backlog, state.trouble) == (None, "cannot look: no tables")

    suite.tables.away = False
    await suite.clock.advance(EVERY_SECONDS + TROUBLE_SECONDS)

    assert suite.watching.state().backlog is not None
    assert suite.watching.state().trouble == ""


async def test_processes_are_asked_for_and_a_suite_that_is_gone_has_none(suite):
    assert suite.watching.state().programs == suite.programs

    suite.programs = None
    await suite.clock.advance(PROGRAMS_SECONDS)

    assert suite.watching.state().programs == []
    assert suite.watching.state().trouble == "the suite does not answer"


async def test_what_would_be_logged_is_shown_for_a_while(suite):
    complain = suite.watching.complain
    for line in ({"event": "fan-out subscription lost", "error": "why"}, {"event": "so it is"}):
        with pytest.raises(structlog.DropEvent):
            complain(None, "warning", line)

    assert suite.watching.state().trouble == "so it is"
    await suite.clock.advance(TROUBLE_SECONDS)
    assert suite.watching.state().trouble == ""


async def test_a_broker_that_is_away_ends_nothing():
    suite = Suite()
    suite.provisioner.away = True
    async with suite.watching.going_on():
        await suite.clock.advance(1)
        assert not suite.watching.state().listening

        suite.provisioner.away = False
        await suite.clock.advance(10)

        assert suite.watching.state().listening


async def test_without_a_local_suite_there_are_no_processes():
    sources = Sources("there", Broker(ManualBus(), Provisioner()), Tables(), Suite()._letters, None)
    watching = Watching(sources, Clock().runtime())
    async with watching.going_on():
        await asyncio.wait_for(watching.looked.wait(), 5)

    assert watching.state().programs is None
    json.dumps(watching.state().to_json())
