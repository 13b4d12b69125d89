"""What `Bus` promises about leases: what is in hand stays there, and what was lost comes again.

Leases of Pub/Sub take ten seconds at least, so there all of this is tried at once.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from kit.tests.contract.conftest import BrokerAt
from sagakit.bus import Bus
from tests.support.brokers import Broker, Listener, a_message, keep

Scenario = Callable[[Broker, str, str], Awaitable[None]]
"""With a topic and the name of a subscription of its own."""


def take_over(bus: Bus, name: str, listener: Listener) -> None:
    """Pull after somebody else did, who was killed or has closed.

    The Pub/Sub emulator does not notice who was killed, and counts them in when it chooses who is next: so
    there are many to choose from.
    """
    for _ in range(8):
        bus.subscribe(name, listener, 10)


async def what_a_killed_process_had_in_hand_comes_again_when_its_lease_ends(
    broker: Broker, topic: str, name: str
) -> None:
    await broker.provision(topic, name)
    async with broker.open() as bus, broker.peer("hold", name) as process:
        assert await process.stdout.readline() == b"ready\n"
        await bus.publish(topic, [a_message()])
        assert await process.stdout.readline() == b"hello\n"
        listener = Listener()
        take_over(bus, name, listener)

        process.kill()
        await process.wait()

        assert await listener.has(1, seconds=5 * broker.lease_seconds) == ["hello"]
        assert await listener.stays_silent(0.5)


async def a_slow_handler_keeps_its_lease(broker: Broker, topic: str, name: str) -> None:
    await broker.provision(topic, name)
    async with broker.open() as bus, broker.open() as replica:
        here, there = Listener(keep), Listener()
        bus.subscribe(name, here, 10)
        await bus.publish(topic, [a_message()])
        await here.has(1)
        replica.subscribe(name, there, 10)

        assert await here.stays_silent(1.3 * broker.lease_seconds)
        here.deliveries[0].ack()

        assert await here.stays_silent(0.5)
        assert there.deliveries == []


async def a_closed_pull_delivers_nothing_but_what_is_in_hand_can_be_acknowledged(
    broker: Broker, topic: str, name: str
) -> None:
    await broker.provision(topic, name)
    listener = Listener(keep)
    async with broker.open() as bus:
        pull = bus.subscribe(name, listener, 10)
        await bus.publish(topic, [a_message("in hand")])
        await listener.has(1)

        await pull.close()
        await bus.publish(topic, [a_message("later")])
        assert await listener.stays_silent(0.5)
        listener.deliveries[0].ack()
        await asyncio.wait_for(pull.ended(), 10)

    async with broker.open() as bus:
        other = Listener()
        take_over(bus, name, other)
        assert await other.has(1, seconds=5 * broker.lease_seconds) == ["later"]
        assert await other.stays_silent(1.2 * broker.lease_seconds)


async def what_was_settled_just_before_the_bus_was_closed_is_settled(
    broker: Broker, topic: str, name: str
) -> None:
    """A drain ends so: the last acknowledgement, and then everything is closed."""
    await broker.provision(topic, name, min_retry_seconds=0.1, max_retry_seconds=0.1)
    listener = Listener(keep)
    async with broker.open() as bus:
        pull = bus.subscribe(name, listener, 10)
        await bus.publish(topic, [a_message(str(number)) for number in range(10)])
        await listener.has(10)
        await pull.close()
        for delivery in listener.deliveries[:-1]:
            delivery.ack()
        listener.deliveries[-1].nack()
        given_back = listener.bodies[-1]

    async with broker.open() as bus:
        other = Listener()
        take_over(bus, name, other)
        assert await other.has(1, seconds=5 * broker.lease_seconds) == [given_back]
        assert await other.stays_silent(1.2 * broker.lease_seconds)


async def a_bus_can_be_closed_with_messages_in_hand(broker: Broker, topic: str, name: str) -> None:
    await broker.provision(topic, name)
    listener = Listener(keep)
    async with asyncio.timeout(10):
        async with broker.open() as bus:
            bus.subscribe(name, listener, 10)
            await bus.publish(topic, [a_message()])
            await listener.has(1)

    async with broker.open() as bus:
        other = Listener()
        take_over(bus, name, other)
        assert await other.has(1, seconds=5 * broker.lease_seconds) == ["hello"]


async def what_is_published_after_a_pull_was_closed_reaches_the_next_one_at_once(
    broker: Broker, topic: str, name: str
) -> None:
    """The trap: the Pub/Sub emulator goes on handing messages to a stream that was cancelled."""
    await broker.provision(topic, name)
    async with broker.open() as bus:
        for number in range(3):
            listener = Listener()
            pull = bus.subscribe(name, listener, 10)
            await bus.publish(topic, [a_message(str(number))])

            assert await listener.has(1, seconds=0.7 * broker.lease_seconds) == [str(number)]
            await pull.close()
            await pull.ended()


SCENARIOS = [
    what_a_killed_process_had_in_hand_comes_again_when_its_lease_ends,
    a_slow_handler_keeps_its_lease,
    a_closed_pull_delivers_nothing_but_what_is_in_hand_can_be_acknowledged,
    what_was_settled_just_before_the_bus_was_closed_is_settled,
    a_bus_can_be_closed_with_messages_in_hand,
    what_is_published_after_a_pull_was_closed_reaches_the_next_one_at_once,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_embedded(broker_at: BrokerAt, scenario: Scenario):
    await scenario(broker_at("embedded"), "things", "one-service.things")


@pytest.mark.emulators
async def test_pubsub(broker_at: BrokerAt):
    broker = broker_at("pubsub")
    async with asyncio.TaskGroup() as together:
        for number, scenario in enumerate(SCENARIOS):
            together.create_task(scenario(broker, f"things-{number}", f"service-{number}"))
