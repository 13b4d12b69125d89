"""Fan-out: ephemeral subscriptions are created, replaced when they are lost, and deleted at the end."""

import asyncio
import json

import pytest
import structlog

from contract.live_tickets import ticket_subscriber
from contract.topology import TOPOLOGY
from sagakit.backends import Broker
from sagakit.bus import Message, SubscriptionSpec
from sagakit.errors import Unavailable
from sagakit.events import Event
from sagakit.fanout import (
    CHECK_INTERVAL_SECONDS,
    EPHEMERAL_PREFIX,
    EXPIRES_AFTER_SECONDS,
    RECONNECT_BACKOFF,
    RENEW_INTERVAL_SECONDS,
    STABLE_AFTER_SECONDS,
)
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

    async def ensure_subscription(self, spec: SubscriptionSpec) -> str:
        if self.failures:
            self.failures -= 1
            raise Unavailable("the broker is unavailable")
        self.ensured.append(spec)
        return ""

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
        self.others: list[tuple[str, str]] = []
        self.caught_up = 0
        self.slept: list[float] = []
        self.seconds = 0.0
        self._next_check = asyncio.Event()
        runtime = Runtime(now=lambda: 0.0, sleep=self._sleep, monotonic=lambda: self.seconds)
        self.subscriber = ticket_subscriber(
            Broker(self.bus, self.provisioned), self._receive, self._catch_up, runtime, self._receive_other
        )

    def _receive(self, service, ticket, time, again, trace_id) -> None:
        if ticket.status == "odd":
            raise ValueError("a defect")
        self.received.append((service, ticket.status, time, again))
        self.traces.append(trace_id)

    def _receive_other(self, service: str, event: Event) -> None:
        self.others.append((service, event.type))

    def _catch_up(self) -> None:
        self.caught_up += 1

    async def _sleep(self, seconds: float) -> None:
        if seconds == CHECK_INTERVAL_SECONDS:
            await self._next_check.wait()
        else:
            self.slept.append(seconds)
            await asyncio.sleep(0)

    async def check(self, after_seconds: float = CHECK_INTERVAL_SECONDS) -> None:
        """Let that time pass, and each subscription be checked once."""
        self.seconds += after_seconds
        due, self._next_check = self._next_check, asyncio.Event()
        due.set()
        for _ in range(20):
            await asyncio.sleep(0)

    def pull(self, topic: str) -> ManualPull:
        """The latest pull of a topic."""
        name = [name for name in self.bus.pulls if name.endswith(topic)][-1]
        return self.bus.pulls[name][-1]


@pytest.fixture
async def gateway():
    gateway = Gateway()
    task = asyncio.create_task(gateway.subscriber.run())
    await eventually(lambda: len(gateway.bus.pulls) == len(TOPOLOGY.topics))
    yield gateway
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert {spec.name for spec in gateway.provisioned.ensured} <= set(gateway.provisioned.removed)
    assert all(pull.closed for pulls in gateway.bus.pulls.values() for pull in pulls)


def ticket(status: str, **attributes: str) -> Message:
    body = json.dumps({"orderid": "o-1", "status": status, "cart_items": []}).encode()
    return Message(body, {"eventid": "e-1", "type": "purchase.OrderTicket", **attributes})


async def test_each_topic_has_an_ephemeral_subscription(gateway: Gateway):
    specs = gateway.provisioned.ensured

    assert sorted(spec.topic for spec in specs) == sorted(TOPOLOGY.topics.values())
    assert all(spec.name.startswith(EPHEMERAL_PREFIX) for spec in specs)
    assert {spec.expires_after_seconds for spec in specs} == {EXPIRES_AFTER_SECONDS}
    assert {spec.dead_letter_topic for spec in specs} == {None}


async def test_message_that_cannot_be_received_hides_no_other(gateway: Gateway):
    pull = gateway.pull(TOPOLOGY.topics["stock"])

    with structlog.testing.capture_logs() as logs:
        odd, good = pull.deliver(ticket("odd")), pull.deliver(ticket("reserved", time="t"))

    assert (odd.settled, good.settled) == (["ack"], ["ack"])
    assert gateway.received == [("stock", "reserved", "t", False)]
    assert [(each["event"], each["log_level"]) for each in logs] == [("message not received", "error")]


async def test_message_is_received_and_acknowledged(gateway: Gateway):
    delivery = gateway.pull("stock").deliver(
        ticket("reserved", time="2026-11-21T12:00:00.000Z", again="true")
    )

    assert gateway.received == [("stock", "reserved", "2026-11-21T12:00:00.000Z", True)]
    assert delivery.settled == ["ack"]


async def test_ticket_without_a_time_has_that_of_its_arrival(gateway: Gateway):
    gateway.pull("stock").deliver(ticket("reserved"))

    assert gateway.received == [("stock", "reserved", "1970-01-01T00:00:00.000Z", False)]


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
        Message(ticket("reserved").data, {"eventid": "e", "type": "loyalty.Granted"}),
    ],
)
async def test_malformed_message_is_acknowledged_and_ignored(gateway: Gateway, message: Message):
    delivery = gateway.pull("stock").deliver(message)

    assert gateway.received == []
    assert delivery.settled == ["ack"]


async def test_event_that_is_no_ticket_is_received_as_what_it_is(gateway: Gateway):
    gateway.pull("stock").deliver(Message(b"{}", {"eventid": "e", "type": "loyalty.Granted"}))

    assert (gateway.others, gateway.received) == ([("stock", "loyalty.Granted")], [])


async def test_lost_subscription_is_replaced_and_followed_by_catch_up(gateway: Gateway):
    before = gateway.caught_up

    gateway.pull("stock").end(Unavailable("no such subscription"))

    await eventually(lambda: len(gateway.bus.pulls) == len(TOPOLOGY.topics) + 1)
    # When it is lost, and when there is a new one.
    assert gateway.caught_up == before + 2
    gateway.pull("stock").deliver(ticket("reserved"))
    assert [status for _, status, _, _ in gateway.received] == ["reserved"]


async def test_unavailable_broker_is_retried_with_growing_delays(gateway: Gateway):
    gateway.slept.clear()
    gateway.provisioned.failures = 12
    made = len(gateway.provisioned.ensured)

    gateway.pull("stock").end(Unavailable("the broker is unavailable"))

    await eventually(lambda: len(gateway.provisioned.ensured) == made + 1)
    pauses = gateway.slept
    assert len(pauses) == 13
    assert 0.1 <= pauses[0] <= 0.2
    assert all(2.5 <= pause <= 5 for pause in pauses[5:])


async def test_subscription_that_lasted_is_replaced_soon(gateway: Gateway):
    """However often it was lost before."""
    for number in range(8):
        gateway.seconds += STABLE_AFTER_SECONDS + 1
        gateway.pull("stock").end(Unavailable("the stream was reset"))
        await eventually(lambda count=number: len(gateway.bus.pulls) == len(TOPOLOGY.topics) + count + 1)

    assert len(gateway.slept) == 8
    assert max(gateway.slept) <= RECONNECT_BACKOFF.max_delay(0)


async def test_nothing_is_received_after_the_end():
    gateway = Gateway()
    task = asyncio.create_task(gateway.subscriber.run())
    await eventually(lambda: gateway.subscriber.is_receiving)

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert not gateway.subscriber.is_receiving


async def test_subscription_whose_topic_was_deleted_is_replaced(gateway: Gateway):
    """Its pull does not end: nothing arrives any more."""
    before = {spec.name for spec in gateway.provisioned.ensured}
    gateway.bus.problem = "the topic was deleted"

    await gateway.check()

    assert set(gateway.provisioned.removed) == before
    gateway.bus.problem = None
    await eventually(lambda: gateway.subscriber.is_receiving)
    assert len(gateway.bus.pulls) == 2 * len(TOPOLOGY.topics)
    gateway.pull("stock").deliver(ticket("reserved"))
    assert [status for _, status, _, _ in gateway.received] == ["reserved"]


async def test_nothing_is_received_while_a_topic_has_no_subscription(gateway: Gateway):
    assert gateway.subscriber.is_receiving
    gateway.provisioned.failures = 1 << 30

    gateway.pull("stock").end(Unavailable("no such subscription"))
    await eventually(lambda: not gateway.subscriber.is_receiving)
    gateway.provisioned.failures = 0

    await eventually(lambda: gateway.subscriber.is_receiving)


async def test_nothing_is_received_while_the_broker_is_unavailable_and_the_subscriptions_are_kept(
    gateway: Gateway,
):
    before = gateway.caught_up
    gateway.bus.unavailable = True

    await gateway.check()
    assert not gateway.subscriber.is_receiving
    gateway.bus.unavailable = False
    await gateway.check()

    assert gateway.subscriber.is_receiving
    assert gateway.provisioned.removed == []
    # Once for each topic when its messages cease to arrive, and once when they arrive again.
    assert gateway.caught_up == before + 2 * len(TOPOLOGY.topics)


async def test_expiry_is_renewed_at_an_interval(gateway: Gateway):
    await gateway.check()
    assert len(gateway.provisioned.ensured) == len(TOPOLOGY.topics)

    await gateway.check(RENEW_INTERVAL_SECONDS)
    await gateway.check()

    assert (
        gateway.provisioned.ensured[: len(TOPOLOGY.topics)]
        == gateway.provisioned.ensured[len(TOPOLOGY.topics) :]
    )


async def test_subscription_that_cannot_be_renewed_is_kept_and_renewed_later(gateway: Gateway):
    gateway.provisioned.failures = len(TOPOLOGY.topics)
    await gateway.check(RENEW_INTERVAL_SECONDS)
    assert gateway.subscriber.is_receiving
    assert gateway.provisioned.removed == []

    await gateway.check(RENEW_INTERVAL_SECONDS)

    assert len(gateway.provisioned.ensured) == 2 * len(TOPOLOGY.topics)
