"""The promises of ephemeral subscriptions: each receives every message, and is deleted with its process."""

import asyncio
from dataclasses import replace

import pytest

from sagakit.bus import Bus, SubscriptionSpec
from sagakit.errors import Unavailable
from tests.support.brokers import Broker, Listener, a_message

TOPIC = "things"
OURS = SubscriptionSpec("ephemeral-1.things", TOPIC, None, expires_after_seconds=24 * 3600)


async def test_ensuring_a_subscription_again_loses_no_message(broker: Broker, bus: Bus):
    await broker.provision(TOPIC)
    async with broker.provisioner() as provisioner:
        await provisioner.ensure_subscription(OURS)
        await bus.publish(TOPIC, [a_message("1")])
        await provisioner.ensure_subscription(OURS)
    listener = Listener()

    bus.subscribe(OURS.name, listener, 10)

    assert await listener.has(1) == ["1"]


async def test_pull_of_a_removed_subscription_ends(broker: Broker, bus: Bus):
    await broker.provision(TOPIC)
    async with broker.provisioner() as provisioner:
        await provisioner.ensure_subscription(OURS)
        listener = Listener()
        pull = bus.subscribe(OURS.name, listener, 10)
        await bus.publish(TOPIC, [a_message()])
        await listener.has(1)

        await provisioner.remove_subscription(OURS.name)
        await provisioner.remove_subscription(OURS.name)

        async with asyncio.timeout(20):
            with pytest.raises(Unavailable):
                await pull.ended()


async def test_only_expired_subscriptions_are_swept(broker: Broker, bus: Bus):
    dead = replace(OURS, name="ephemeral-dead.things")
    await broker.provision(TOPIC, "one-service.things")
    async with broker.provisioner() as provisioner:
        await provisioner.ensure_subscription(OURS)
    await broker.leave_behind(dead)
    ours, shared = Listener(), Listener()
    bus.subscribe(OURS.name, ours, 10)
    bus.subscribe("one-service.things", shared, 10)
    await bus.publish(TOPIC, [a_message("1")])
    await asyncio.gather(ours.has(1), shared.has(1))

    async with broker.provisioner() as provisioner:
        assert await provisioner.sweep("ephemeral-") == [dead.name]
        assert await provisioner.sweep("ephemeral-") == []

    await bus.publish(TOPIC, [a_message("2")])
    assert "2" in await ours.has(2)
    assert "2" in await shared.has(2)
