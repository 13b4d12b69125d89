"""The promises of ephemeral subscriptions: each receives every message, and is deleted with its process."""

import pytest

from sagakit.backends import open_broker, open_provisioner
from sagakit.backends.gcp.provision import open_pubsub_provisioner
from sagakit.bus import SubscriptionSpec
from sagakit.runtime import Runtime
from sagakit.settings import BackendSettings
from sagakit.testing.contracts.brokers import Listener, a_message

TOPIC = "things"


OURS = SubscriptionSpec("ephemeral-1.things", TOPIC, None, expires_after_seconds=24 * 3600)


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
