"""The promises of `PullSubscription`: messages are leased until they are settled or their time is over."""

import pytest

from sagakit.backends import open_pull_subscription
from sagakit.bus import PulledMessage, PullSubscription
from sagakit.settings import BackendSettings
from tests.support.brokers import Broker, BrokerAt, a_message
from tests.support.eventually import eventually

TOPIC, NAME = "things", "dead-letter"


@pytest.fixture(params=["embedded", pytest.param("pubsub", marks=pytest.mark.emulators)])
def broker(request: pytest.FixtureRequest, broker_at: BrokerAt) -> Broker:
    return broker_at(request.param)


def settings(broker: Broker) -> BackendSettings:
    if broker.name == "embedded":
        return BackendSettings("embedded", embedded_file=broker.file)
    return BackendSettings("gcp", broker.project, pubsub_emulator=broker.emulator)


async def pulled(subscription: PullSubscription, *bodies: str, seconds: float = 20) -> list[PulledMessage]:
    """Wait until these messages, and no others, were pulled."""
    found: list[PulledMessage] = []

    async def all_pulled() -> bool:
        found.extend(await subscription.pull(10))
        return len(found) >= len(bodies)

    await eventually(all_pulled, seconds)
    assert sorted(each.message.data.decode() for each in found) == sorted(bodies)
    return found


async def test_pulled_messages_are_leased_until_they_are_settled(broker: Broker):
    await broker.provision(TOPIC, NAME)
    async with broker.open() as bus, open_pull_subscription(settings(broker), NAME) as subscription:
        await bus.publish(TOPIC, [a_message(body) for body in ("gone", "freed", "kept", "forgotten")])
        messages = {
            each.message.data.decode(): each
            for each in await pulled(subscription, "gone", "freed", "kept", "forgotten")
        }

        await subscription.extend([messages["kept"]])
        await subscription.acknowledge([messages["gone"]])
        await subscription.release([messages["freed"]])

        (freed,) = await pulled(subscription, "freed")
        await subscription.acknowledge([freed])
        # Its lease has ended, that of the one that was extended has not.
        (forgotten,) = await pulled(subscription, "forgotten", seconds=3 * broker.lease_seconds)
        await subscription.acknowledge([forgotten, messages["kept"]])
        assert await subscription.pull(10) == []


async def test_nothing_to_settle_is_no_error(broker: Broker):
    await broker.provision(TOPIC, NAME)
    async with open_pull_subscription(settings(broker), NAME) as subscription:
        assert await subscription.pull(10) == []
        await subscription.acknowledge([])
        await subscription.extend([])
        await subscription.release([])
