"""The promises of `PullSubscription`: messages are leased until they are settled or their time is over."""

import pytest

from sagakit.bus import PulledMessage, PullSubscription
from sagakit.testing.contracts.brokers import BrokerUnderTest, a_message
from sagakit.testing.eventually import eventually

TOPIC, NAME = "things", "dead-letter"


async def pulled(subscription: PullSubscription, *bodies: str, seconds: float = 20) -> list[PulledMessage]:
    """Wait until these messages, and no others, were pulled."""
    found: list[PulledMessage] = []

    async def all_pulled() -> bool:
        found.extend(await subscription.pull(10))
        return len(found) >= len(bodies)

    await eventually(all_pulled, seconds)
    assert sorted(each.message.data.decode() for each in found) == sorted(bodies)
    return found


class PullContract:
    """Subclass it, with a fixture `broker` that returns a `BrokerUnderTest`."""

    pytestmark = pytest.mark.asyncio

    async def test_pulled_messages_are_leased_until_they_are_settled(self, broker: BrokerUnderTest) -> None:
        await broker.provision(TOPIC, NAME)
        async with broker.open() as bus, broker.pull_subscription(NAME) as subscription:
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

    async def test_nothing_to_settle_is_no_error(self, broker: BrokerUnderTest) -> None:
        await broker.provision(TOPIC, NAME)
        async with broker.pull_subscription(NAME) as subscription:
            assert await subscription.pull(10) == []
            await subscription.acknowledge([])
            await subscription.extend([])
            await subscription.release([])
