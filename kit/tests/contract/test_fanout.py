"""The promises of ephemeral subscriptions: each receives every message, and is deleted with its process."""

import asyncio
from dataclasses import replace

import pytest

from sagakit.backends import open_broker, open_provisioner
from sagakit.backends.gcp.provision import open_pubsub_provisioner
from sagakit.bus import Bus, SubscriptionSpec
from sagakit.errors import Unavailable
from sagakit.runtime import Runtime
from sagakit.settings import BackendSettings
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


@pytest.mark.emulators
async def test_ephemeral_subscriptions_may_have_a_project_of_their_own(pubsub_emulator: str, project: str):
    environ = {
        "GOOGLE_CLOUD_PROJECT": project,
        "EPHEMERAL_PROJECT": f"{project}-own",
        "PUBSUB_EMULATOR_HOST": pubsub_emulator,
    }
    settings, listener = BackendSettings.from_environ(environ), Listener()
    async with open_provisioner(environ) as provisioner:
        await provisioner.ensure_topic(TOPIC)
    async with open_broker(settings, Runtime()) as broker:
        await broker.provisioner.ensure_subscription(OURS)
        broker.bus.subscribe(OURS.name, listener, 10)
        await broker.bus.publish(TOPIC, [a_message()])

        assert await listener.has(1) == ["hello"]
        assert await broker.bus.subscription_problem(OURS.name) is None

    assert await listed(project, pubsub_emulator) == []
    assert await listed(f"{project}-own", pubsub_emulator) == [OURS.name]


async def listed(project: str, emulator: str) -> list[str]:
    async with open_pubsub_provisioner(project, emulator) as provisioner:
        return [each.name.rpartition("/")[2] async for each in provisioner.listed("")]
