"""Fan-out: ephemeral subscriptions are created, replaced when they are lost, and deleted at the end."""

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


class RecordingProvisioner:
    """Records the subscriptions ensured and removed; the next `failures` calls raise Unavailable."""

    def __init__(self) -> None:
        self.ensured: list[SubscriptionSpec] = []
        self.removed: list[str] = []
        self.failures = 0

    async def ensure_topic(self, topic: str) -> None:
        raise NotImplementedError

    async def ensure_subscription(self, spec: SubscriptionSpec) -> None:
        if self.failures:
            self.failures -= 1
            raise Unavailable("the broker is unavailable")
        self.ensured.append(spec)

    async def remove_subscription(self, name: str) -> None:
        self.removed.append(name)

    async def sweep(self, prefix: str) -> list[str]:
        raise NotImplementedError


class Gateway:
    """A process with a fan-out subscriber."""

    def __init__(self) -> None:
        self.bus, self.provisioned = ManualBus(), RecordingProvisioner()
        self.received: list[tuple[str, str, str, bool]] = []
        self.traces: list[str | None] = []
        self.caught_up = 0
        self.slept: list[float] = []
        self.subscriber = ticket_subscriber(
            Broker(self.bus, self.provisioned), self._receive, self._catch_up, Runtime(sleep=self._sleep)
        )

    def _receive(self, service, ticket, time, again, trace_id) -> None:
        self.received.append((service, ticket.status, time, again))
        self.traces.append(trace_id)

    def _catch_up(self) -> None:
        self.caught_up += 1

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        # Renewals wait for longer than any test.
        await (asyncio.Event().wait() if seconds == RENEW_INTERVAL_SECONDS else asyncio.sleep(0))

    def pull(self, topic: str) -> ManualPull:
        """The latest pull of a topic."""
        name = [name for name in self.bus.pulls if name.endswith(topic)][-1]
        return self.bus.pulls[name][-1]


@pytest.fixture
async def gateway():
    gateway = Gateway()
    task = asyncio.create_task(gateway.subscriber.run())
    await eventually(lambda: len(gateway.bus.pulls) == len(TOPICS))
    yield gateway
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert {spec.name for spec in gateway.provisioned.ensured} <= set(gateway.provisioned.removed)


def ticket(status: str, **attributes: str) -> Message:
    body = json.dumps({"orderid": "o-1", "status": status, "cart_items": []}).encode()
    return Message(body, {"eventid": "e-1", "type": "purchase.OrderTicket", **attributes})


async def test_each_topic_has_an_ephemeral_subscription(gateway: Gateway):
    specs = gateway.provisioned.ensured

    assert sorted(spec.topic for spec in specs) == sorted(TOPICS.values())
    assert all(spec.name.startswith(EPHEMERAL_PREFIX) for spec in specs)
    assert {spec.expires_after_seconds for spec in specs} == {EXPIRES_AFTER_SECONDS}
    assert {spec.dead_letter_topic for spec in specs} == {None}


async def test_message_is_received_and_acknowledged(gateway: Gateway):
    delivery = gateway.pull("stock").deliver(
        ticket("reserved", time="2026-11-21T12:00:00.000Z", again="true")
    )

    assert gateway.received == [("stock", "reserved", "2026-11-21T12:00:00.000Z", True)]
    assert delivery.settled == ["ack"]


async def test_message_is_received_with_its_trace_id_if_valid(gateway: Gateway):
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
async def test_malformed_message_is_acknowledged_and_ignored(gateway: Gateway, message: Message):
    delivery = gateway.pull("stock").deliver(message)

    assert gateway.received == []
    assert delivery.settled == ["ack"]


async def test_lost_subscription_is_replaced_and_followed_by_catch_up(gateway: Gateway):
    before = gateway.caught_up

    gateway.pull("stock").end(Unavailable("no such subscription"))

    await eventually(lambda: len(gateway.bus.pulls) == len(TOPICS) + 1)
    assert gateway.caught_up == before + 1
    gateway.pull("stock").deliver(ticket("reserved"))
    assert [status for _, status, _, _ in gateway.received] == ["reserved"]


async def test_unavailable_broker_is_retried_with_growing_delays(gateway: Gateway):
    gateway.slept.clear()
    gateway.provisioned.failures = 12
    made = len(gateway.provisioned.ensured)

    gateway.pull("stock").end(Unavailable("the broker is unavailable"))

    await eventually(lambda: len(gateway.provisioned.ensured) == made + 1)
    pauses = [pause for pause in gateway.slept if pause != RENEW_INTERVAL_SECONDS]
    assert len(pauses) == 13
    assert 0.1 <= pauses[0] <= 0.4
    assert all(2.5 <= pause <= 5 for pause in pauses[6:])
