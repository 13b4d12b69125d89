"""Every implementation of `Provisioner` keeps its promises."""

from typing import Any

import pytest

from sagakit.backends import open_broker, open_provisioner
from sagakit.backends.gcp.provision import PubsubProvisioner
from sagakit.bus import SubscriptionSpec
from sagakit.runtime import Runtime
from sagakit.settings import BackendSettings
from sagakit.testing.contracts import ProvisionerContract
from sagakit.testing.contracts.brokers import Listener, a_message
from tests.support.brokers import Broker

TOPIC, OTHER_TOPIC, DEAD = "things", "others", "dead-letter"


ONE = "one-service.things"


SPEC = SubscriptionSpec(ONE, TOPIC, DEAD, 5, 0.2, 1.0, 10)


async def provision(broker: Broker, spec: SubscriptionSpec = SPEC) -> str:
    async with broker.provisioner() as provisioner:
        for topic in (TOPIC, OTHER_TOPIC, DEAD):
            await provisioner.ensure_topic(topic)
        return await provisioner.ensure_subscription(spec)


def changed(**settings: Any) -> SubscriptionSpec:
    return SubscriptionSpec(**{name: getattr(SPEC, name) for name in SPEC.__slots__} | settings)


async def test_labels_that_others_added_are_kept():
    clients: Any = None
    provisioner = PubsubProvisioner(clients, clients, "project", ("labels",))
    existing = provisioner._subscription(SPEC)
    existing.labels["team"] = "shop"

    assert await provisioner._update(existing, provisioner._subscription(SPEC)) == ""


@pytest.mark.emulators
@pytest.mark.parametrize("form", ["{}", "http://{}", "http://{}/", " {} ", "0.0.0.0:{port}"])
async def test_emulator_is_reached_by_its_host_in_every_form(
    pubsub_emulator: str, project: str, form: str, monkeypatch: pytest.MonkeyPatch
):
    host = form.format(pubsub_emulator, port=pubsub_emulator.rpartition(":")[2])
    # In the process's own environment too: Google's client reads it.
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", host)
    environ = {"GOOGLE_CLOUD_PROJECT": project, "PUBSUB_EMULATOR_HOST": host}
    async with open_provisioner(environ) as provisioner:
        await provisioner.ensure_topic(TOPIC)
        await provisioner.ensure_subscription(SubscriptionSpec(ONE, TOPIC, None))
    listener = Listener()

    async with open_broker(BackendSettings.from_environ(environ), Runtime()) as broker:
        broker.bus.subscribe(ONE, listener, 10)
        await broker.bus.publish(TOPIC, [a_message()])

        assert await listener.has(1) == ["hello"]


class TestProvisioner(ProvisionerContract):
    pass
