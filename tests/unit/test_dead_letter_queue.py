"""Dead letters page by page: each is met once and acted on within its lease, and the outcome is exact."""

import json

import pytest

from contract.tickets import ORDER_TICKET
from contract.topology import TOPOLOGY
from sagactl.project import PROJECT
from sagakit.bus import PULL_LEASE_SECONDS, Message
from sagakit.ctl.inspect import dead_letter_queue
from sagakit.ctl.inspect.dead_letter_queue import (
    CAME_BACK,
    INCOMPLETE,
    LEASE_ENDED,
    PAGE,
    UNKNOWN_TOPIC,
    UNVERIFIED,
    DeadLetterQueue,
    Handled,
)
from sagakit.ctl.inspect.dead_letters import DeadLetter, Filter
from sagakit.errors import Unavailable
from sagakit.testing.clock import START
from sagakit.testing.tables import MemoryTables
from tests.support.leased_messages import LeasedMessages

ALL = Filter()
ODD = Filter(reason="odd")
PAYMENT = TOPOLOGY.topics["payment"]


def letters(count: int, service: str = f"purchase-service.{PAYMENT}") -> list[Message]:
    """Return unverifiable dead letters, of which every other one has the reason `odd`."""
    body = json.dumps({"orderid": "o", "status": "paid", "cart_items": []}).encode()
    return [
        Message(
            body,
            {
                "eventid": f"e{number}",
                "type": ORDER_TICKET,
                "dead_letter_reason": ("even", "odd")[number % 2],
                "dead_letter_subscription": service,
            },
        )
        for number in range(count)
    ]


class Harness:
    def __init__(self, messages: list[Message], seconds_per_call: float = 0.01) -> None:
        self.broker = LeasedMessages(messages, seconds_per_call)
        self.queue = DeadLetterQueue(self.broker, self.broker, MemoryTables(), PROJECT, self.broker.monotonic)
        self.handled: list[Handled] = []

    async def read(self, wanted: Filter = ALL) -> list[str]:
        found: list[DeadLetter] = []
        await self.queue.read(wanted, found.append)
        return [letter.eventid for letter in found]

    async def drop(self, wanted: Filter = ALL) -> None:
        await self.queue.drop(wanted, self.handled.append)

    async def redrive(self, wanted: Filter = ALL, *, unverified: bool = True) -> None:
        await self.queue.redrive(wanted, self.handled.append, START, unverified=unverified)

    @property
    def done(self) -> list[str]:
        return [each.letter.eventid for each in self.handled if not each.left]

    @property
    def left(self) -> set[str]:
        return {each.left for each in self.handled if each.left}


@pytest.mark.parametrize("seconds_per_call", [0.01, 3, 9], ids=["quick", "slow", "slower than the leases"])
async def test_each_of_thousands_is_read_once_and_can_be_read_again_at_once(seconds_per_call: float):
    harness = Harness(letters(3_000), seconds_per_call)

    first, second = await harness.read(), await harness.read(ODD)

    assert first == [f"e{number}" for number in range(3_000)]
    assert second == first[1::2]
    assert harness.broker.leases == {}


async def test_dropped_are_exactly_those_that_are_gone():
    harness = Harness(letters(3_000), seconds_per_call=3)

    await harness.drop(ODD)

    every = [f"e{number}" for number in range(3_000)]
    assert harness.done == every[1::2]
    assert harness.broker.eventids == every[::2]
    assert harness.left == set()
    assert harness.broker.leases == {}, "what stays is released"


async def test_dead_letter_whose_lease_ended_is_not_reported_as_dropped():
    harness = Harness(letters(2), seconds_per_call=PULL_LEASE_SECONDS + 1)

    with pytest.raises(Unavailable, match="more slowly"):
        await harness.drop()

    assert harness.broker.eventids == ["e0", "e1"]
    assert harness.done == []
    assert harness.left == {LEASE_ENDED}


async def test_reduced_dead_letter_is_dropped_and_not_redriven():
    (whole,) = letters(1)
    part = Message(whole.data[:10], {**whole.attributes, "dead_letter_reduced": "10 of 50 bytes"})
    harness = Harness([part])

    await harness.redrive()
    left, still_there = harness.left, harness.broker.eventids
    await harness.drop()

    assert (left, still_there) == ({INCOMPLETE}, ["e0"])
    assert harness.done == ["e0"]


async def test_broker_that_is_too_slow_gets_nothing_twice():
    harness = Harness(letters(2), seconds_per_call=PULL_LEASE_SECONDS + 1)

    with pytest.raises(Unavailable, match="more slowly"):
        await harness.redrive()

    assert harness.done == [message.attributes["eventid"] for _, message in harness.broker.published]


async def test_calls_grow_with_the_pages():
    few, many = Harness(letters(10 * PAGE)), Harness(letters(40 * PAGE))

    await few.redrive()
    await many.redrive()

    assert many.broker.calls < 4.2 * few.broker.calls
    assert many.done == [message.attributes["eventid"] for _, message in many.broker.published]
    assert len(many.done) == 40 * PAGE
    assert many.broker.messages == {}


async def test_what_was_done_before_a_failure_is_reported():
    harness = Harness(letters(5 * PAGE))
    harness.broker.available_calls = 8

    with pytest.raises(Unavailable):
        await harness.redrive()

    gone = {f"e{number}" for number in range(5 * PAGE)} - set(harness.broker.eventids)
    assert set(harness.done) == gone
    assert 0 < len(gone) < 5 * PAGE


async def test_rejected_dead_letter_stays_and_does_not_hold_up_the_others():
    harness = Harness(letters(PAGE))
    harness.broker.rejected = {"e7"}

    await harness.redrive()

    assert harness.broker.eventids == ["e7"]
    assert len(harness.done) == PAGE - 1
    assert harness.left == {"the broker rejects them: unpublishable: too many attributes"}
    assert [message.attributes["eventid"] for _, message in harness.broker.published] == harness.done


async def test_dead_letter_that_comes_back_is_redriven_once():
    harness = Harness(letters(3 * PAGE))
    harness.broker.returning = True

    await harness.redrive()

    assert len(harness.done) == len(harness.broker.published) == 3 * PAGE
    assert harness.left == {CAME_BACK}
    assert len(harness.broker.messages) == 3 * PAGE


async def test_dead_letters_of_unknown_topics_and_unverified_ones_stay():
    unknown = letters(2, "another-service.com.example.other")
    harness = Harness([*unknown, *letters(4)[2:]])

    await harness.redrive(unverified=False)

    assert harness.done == []
    assert [each.left for each in harness.handled] == [UNKNOWN_TOPIC] * 2 + [UNVERIFIED] * 2
    assert len(harness.broker.messages) == 4

    await harness.redrive()

    assert harness.done == ["e2", "e3"]
    assert {topic for topic, _ in harness.broker.published} == {PAYMENT}


async def test_command_ends_after_it_has_left_too_many(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dead_letter_queue, "MAX_HELD", 2 * PAGE)
    harness = Harness(letters(5 * PAGE))

    assert len(await harness.read()) == 2 * PAGE
    assert not harness.queue.is_complete

    await harness.drop()
    assert harness.broker.messages == {}, "what is removed does not count"
    assert harness.queue.is_complete
