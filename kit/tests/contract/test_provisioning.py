"""The promises of provisioning: what is there becomes what it should be, and what was changed is returned."""

from collections.abc import Mapping
from typing import Any

import pytest

from sagakit.backends import open_broker, open_provisioner
from sagakit.backends.gcp.provision import PubsubProvisioner
from sagakit.bus import Bus, SubscriptionSpec
from sagakit.errors import Unavailable
from sagakit.runtime import Runtime
from sagakit.settings import BackendSettings
from tests.support.brokers import Broker, Listener, a_message
from tests.support.eventually import eventually

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


async def test_nothing_is_changed_the_second_time(broker: Broker):
    assert [await provision(broker) for _ in range(3)] == ["", "", ""]


@pytest.mark.parametrize(
    "settings",
    [
        {"min_retry_seconds": 0.5},
        {"max_retry_seconds": 30.0},
        {"ack_deadline_seconds": 20},
        {"max_delivery_attempts": 7},
        {"dead_letter_topic": None},
        {"dead_letter_topic": OTHER_TOPIC},
    ],
    ids=str,
)
async def test_setting_that_differs_is_changed_and_messages_are_kept(
    broker: Broker, bus: Bus, settings: Mapping[str, Any]
):
    await provision(broker)
    await bus.publish(TOPIC, [a_message()])

    assert (await provision(broker, changed(**settings))).startswith("updated ")
    assert await provision(broker, changed(**settings)) == ""

    listener = Listener()
    bus.subscribe(ONE, listener, 10)
    assert await listener.has(1) == ["hello"]


async def test_subscription_of_another_topic_is_moved(broker: Broker, bus: Bus):
    await provision(broker, changed(topic=OTHER_TOPIC))

    assert await provision(broker)

    listener = Listener()
    bus.subscribe(ONE, listener, 10)
    await bus.publish(TOPIC, [a_message("ours")])
    await bus.publish(OTHER_TOPIC, [a_message("no more")])
    assert await listener.has(1) == ["ours"]
    assert await listener.stays_silent(0.5)


async def test_problem_of_a_subscription_is_known(broker: Broker, bus: Bus):
    assert "does not exist" in str(await bus.subscription_problem(ONE))

    await provision(broker)
    assert await bus.subscription_problem(ONE) is None

    await broker.delete_topic(TOPIC)
    assert "was deleted" in str(await bus.subscription_problem(ONE))


async def test_topic_that_was_deleted_is_made_again_and_its_subscription_gets_messages(
    broker: Broker, bus: Bus
):
    await provision(broker)
    listener = Listener()
    bus.subscribe(ONE, listener, 10)
    await broker.delete_topic(TOPIC)
    with pytest.raises(Unavailable):
        await bus.publish(TOPIC, [a_message()])

    change = await provision(broker)
    assert await bus.subscription_problem(ONE) is None
    assert await provision(broker) == ""

    # A pull of a subscription that was deleted ends; the consumer starts another.
    again = Listener()
    bus.subscribe(ONE, again, 10)
    await bus.publish(TOPIC, [a_message("after")])
    await eventually(lambda: "after" in [*listener.bodies, *again.bodies])
    assert change in ("", "remade: its topic was deleted")
    assert bool(change) == (broker.name not in {"memory", "embedded"})


async def test_dead_letter_topic_that_was_deleted_is_attached_again(broker: Broker, bus: Bus):
    await provision(broker)
    await broker.delete_topic(DEAD)

    change = await provision(broker)

    assert change in ("", "updated dead_letter_policy")
    assert await provision(broker) == ""
    async with broker.provisioner() as provisioner:
        await provisioner.ensure_subscription(SubscriptionSpec(DEAD, DEAD, None))
    dead_letters = Listener()
    bus.subscribe(DEAD, dead_letters, 10)
    bus.subscribe(ONE, Listener(lambda delivery: delivery.nack()), 10)
    await bus.publish(TOPIC, [a_message("poison")])
    assert await dead_letters.has(1, seconds=20) == ["poison"]


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
