"""The promises of `Bus` about leases: a leased message is not redelivered until its lease ends.

Leases of Pub/Sub take at least ten seconds, so all scenarios run at once there.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sagakit.bus import Bus
from sagakit.testing.contracts.brokers import Listener, a_message, keep
from tests.support.brokers import Broker, BrokerAt

Scenario = Callable[[Broker, str, str], Awaitable[None]]
"""Is called with a broker, and a topic and a subscription of its own."""


def take_over(bus: Bus, name: str, listener: Listener) -> None:
    """Pull a subscription whose former puller was killed or has closed.

    The Pub/Sub emulator does not notice killed pullers, and still assigns messages to them: so there are
    many pulls to choose from.
    """
    for _ in range(8):
        bus.subscribe(name, listener, 10)


async def message_of_a_killed_process_is_redelivered_when_its_lease_ends(
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


async def slow_handler_keeps_its_lease(broker: Broker, topic: str, name: str) -> None:
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


async def message_in_flight_can_be_acknowledged_after_its_pull_is_closed(
    broker: Broker, topic: str, name: str
) -> None:
    await broker.provision(topic, name)
    listener = Listener(keep)
    async with broker.open() as bus:
        pull = bus.subscribe(name, listener, 10)
        await bus.publish(topic, [a_message("in flight")])
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


async def message_settled_just_before_the_bus_is_closed_is_settled(
    broker: Broker, topic: str, name: str
) -> None:
    """As at the end of a drain."""
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
        nacked = listener.bodies[-1]

    async with broker.open() as bus:
        other = Listener()
        take_over(bus, name, other)
        assert await other.has(1, seconds=5 * broker.lease_seconds) == [nacked]
        assert await other.stays_silent(1.2 * broker.lease_seconds)


async def bus_can_be_closed_with_messages_in_flight(broker: Broker, topic: str, name: str) -> None:
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


async def message_published_after_a_pull_was_closed_reaches_the_next_one_at_once(
    broker: Broker, topic: str, name: str
) -> None:
    """Known mistake: the Pub/Sub emulator keeps assigning messages to a cancelled stream."""
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
    message_of_a_killed_process_is_redelivered_when_its_lease_ends,
    slow_handler_keeps_its_lease,
    message_in_flight_can_be_acknowledged_after_its_pull_is_closed,
    message_settled_just_before_the_bus_is_closed_is_settled,
    bus_can_be_closed_with_messages_in_flight,
    message_published_after_a_pull_was_closed_reaches_the_next_one_at_once,
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
