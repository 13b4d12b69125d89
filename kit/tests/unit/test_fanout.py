"""A process's own subscriptions: made, made anew when they are lost, and gone with it."""

import asyncio
import json

import pytest

from contract.live_tickets import ticket_subscriber
from contract.topology import EPHEMERAL_PREFIX, TOPICS
from sagakit.backends import Broker
from sagakit.bus import Message, SubscriptionSpec
from sagakit.errors import Unavailable
from sagakit.fanout import EXPIRES_AFTER_SECONDS, RENEW_INTERVAL_SECONDS
from sagakit.runtime import Runtime
from tests.support.eventually import eventually
from tests.support.manual_bus import ManualBus, ManualPull


class Provisioned:
    """Remembers what was made and removed; fails as often as it is told."""

    def __init__(self) -> None:
        self.ensured: list[SubscriptionSpec] = []
        self.removed: list[str] = []
        self.failures = 0

    async def ensure_topic(self, topic: str) -> None:
        raise NotImplementedError

    async def ensure_subscription(self, spec: SubscriptionSpec) -> None:
        if self.failures:
            self.failures -= 1
            raise Unavailable("the broker is away")
        self.ensured.append(spec)

    async def remove_subscription(self, name: str) -> None:
        self.removed.append(name)

    async def sweep(self, prefix: str) -> list[str]:
        raise NotImplementedError


class Gateway:
    """What hears."""

    def __init__(self) -> None:
        self.bus, self.provisioned = ManualBus(), Provisioned()
        self.heard: list[tuple[str, str, str, bool]] = []
        self.traces: list[str | None] = []
        self.caught_up = 0
        self.slept: list[float] = []
        self.broadcast = ticket_subscriber(
            Broker(self.bus, self.provisioned),
            self._hear,
            self._catch_up,
            Runtime(sleep=self._sleep),
        )

    def _hear(self, service, ticket, time, again, trace_id) -> None:
        self.heard.append((service, ticket.status, time, again))
        self.traces.append(trace_id)

    def _catch_up(self) -> None:
        self.caught_up += 1

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        # Renewals wait for longer than any test.
        await (asyncio.Event().wait() if seconds == RENEW_INTERVAL_SECONDS else asyncio.sleep(0))

    def pull(self, topic: str) -> ManualPull:
        """The latest of a topic's."""
        name = [name for name in self.bus.pulls if name.endswith(topic)][-1]
        return self.bus.pulls[name][-1]


@pytest.fixture
async def gateway():
    gateway = Gateway()
    task = asyncio.create_task(gateway.broadcast.run())
    await eventually(lambda: len(gateway.bus.pulls) == len(TOPICS))
    yield gateway
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert {spec.name for spec in gateway.provisioned.ensured} <= set(gateway.provisioned.removed)


def ticket(status: str, **attributes: str) -> Message:
    body = json.dumps({"orderid": "o-1", "status": status, "cart_items": []}).encode()
    return Message(body, {"eventid": "e-1", "type": "purchase.OrderTicket", **attributes})


async def test_it_has_a_subscription_of_its_own_to_each_topic_that_expires(gateway: Gateway):
    specs = gateway.provisioned.ensured

    assert sorted(spec.topic for spec in specs) == sorted(TOPICS.values())
    assert all(spec.name.startswith(EPHEMERAL_PREFIX) for spec in specs)
    assert {spec.expires_after_seconds for spec in specs} == {EXPIRES_AFTER_SECONDS}
    assert {spec.dead_letter_topic for spec in specs} == {None}


async def test_what_a_service_says_is_heard_and_acknowledged(gateway: Gateway):
    delivery = gateway.pull("stock").deliver(
        ticket("reserved", time="2026-11-21T12:00:00.000Z", again="true")
    )

    assert gateway.heard == [("stock", "reserved", "2026-11-21T12:00:00.000Z", True)]
    assert delivery.settled == ["ack"]


async def test_what_a_service_says_is_heard_with_its_trace_if_that_is_one(gateway: Gateway):
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    for traceparent in (f"00-{trace_id}-00f067aa0ba902b7-01", "x" * 1024):
        gateway.pull("stock").deliver(ticket("reserved", traceparent=traceparent))
    gateway.pull("stock").deliver(ticket("reserved"))

    assert gateway.traces == [trace_id, None, None]


@pytest.mark.parametrize(
    "message",
    [
        Message(b"no json", {"eventid": "e", "type": "purchase.OrderTicket"}),
        Message(b"{}", {"eventid": "e", "type": "purchase.OrderTicket"}),
        Message(b"{}", {"type": "purchase.OrderTicket"}),
        Message(b"{}", {"eventid": "e", "type": "something.else"}),
    ],
)
async def test_what_makes_no_sense_is_acknowledged_and_left_to_others(gateway: Gateway, message: Message):
    delivery = gateway.pull("stock").deliver(message)

    assert gateway.heard == []
    assert delivery.settled == ["ack"]


async def test_a_lost_subscription_is_made_anew_under_another_name_and_followed_by_catching_up(
    gateway: Gateway,
):
    before = gateway.caught_up

    gateway.pull("stock").end(Unavailable("no such subscription"))

    await eventually(lambda: len(gateway.bus.pulls) == len(TOPICS) + 1)
    assert gateway.caught_up == before + 1
    gateway.pull("stock").deliver(ticket("reserved"))
    assert [status for _, status, _, _ in gateway.heard] == ["reserved"]


async def test_a_broker_that_is_away_is_tried_with_pauses_that_grow_and_end(gateway: Gateway):
    gateway.slept.clear()
    gateway.provisioned.failures = 12
    made = len(gateway.provisioned.ensured)

    gateway.pull("stock").end(Unavailable("the broker is away"))

    await eventually(lambda: len(gateway.provisioned.ensured) == made + 1)
    pauses = [pause for pause in gateway.slept if pause != RENEW_INTERVAL_SECONDS]
    assert len(pauses) == 13
    assert 0.1 <= pauses[0] <= 0.4
    assert all(2.5 <= pause <= 5 for pause in pauses[6:])
