"""The promises of `Bus`: each subscription receives each message."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sagakit.bus import Bus, Message, SubscriptionSpec
from sagakit.errors import Unavailable
from sagakit.testing.contracts.brokers import BrokerUnderTest, Listener, a_message, ack, keep, nack
from sagakit.testing.eventually import eventually

TOPIC = "things"
ONE = "one-service.things"
TWO = "two-service.things"
DEAD = "dead-letter"


class BusContract:
    """Subclass it, with a fixture `broker` that returns a `BrokerUnderTest`."""

    pytestmark = pytest.mark.asyncio

    @pytest_asyncio.fixture
    async def bus(self, broker: BrokerUnderTest) -> AsyncIterator[Bus]:
        """The connection of one process."""
        async with broker.open() as bus:
            yield bus

    async def test_each_subscription_of_a_topic_receives_each_message(
        self, broker: BrokerUnderTest, bus: Bus
    ) -> None:
        await broker.provision(TOPIC, ONE, TWO)
        await broker.provision("others", "other-service.others")
        first, second, other = Listener(), Listener(), Listener()
        bus.subscribe(ONE, first, 10)
        bus.subscribe(TWO, second, 10)
        bus.subscribe("other-service.others", other, 10)

        await bus.publish(TOPIC, [a_message(str(number)) for number in range(5)])

        assert sorted(await first.has(5)) == ["0", "1", "2", "3", "4"]
        assert sorted(await second.has(5)) == ["0", "1", "2", "3", "4"]
        assert other.deliveries == []

    async def test_data_and_attributes_are_delivered_unchanged(
        self, broker: BrokerUnderTest, bus: Bus
    ) -> None:
        await broker.provision(TOPIC, ONE)
        sent = [
            Message(bytes(range(256)), {"eventid": "e1", "type": "Grüße 世界", "empty": ""}),
            Message(b"no attributes", {}),
            Message(b"", {"only": "attributes"}),
        ]
        listener = Listener()
        bus.subscribe(ONE, listener, 10)

        await bus.publish(TOPIC, sent)

        await eventually(lambda: len(listener.deliveries) == 3)
        arrived = {each.message.data: each.message for each in listener.deliveries}
        assert arrived == {message.data: message for message in sent}
        assert listener.attempts == [1, 1, 1]

    async def test_messages_are_kept_while_a_subscription_is_not_pulled(
        self, broker: BrokerUnderTest, bus: Bus
    ) -> None:
        await broker.provision(TOPIC, ONE)
        await bus.publish(TOPIC, [a_message()])

        listener = Listener()
        bus.subscribe(ONE, listener, 10)

        assert await listener.has(1) == ["hello"]

    async def test_subscription_receives_only_messages_published_after_it_was_created(
        self, broker: BrokerUnderTest, bus: Bus
    ) -> None:
        await broker.provision(TOPIC, ONE)
        await bus.publish(TOPIC, [a_message("before")])
        await broker.provision(TOPIC, TWO)
        await bus.publish(TOPIC, [a_message("after")])

        listener = Listener()
        bus.subscribe(TWO, listener, 10)

        assert await listener.has(1) == ["after"]

    async def test_replicas_share_the_messages_of_a_subscription(
        self, broker: BrokerUnderTest, bus: Bus
    ) -> None:
        await broker.provision(TOPIC, ONE)
        here, there = Listener(), Listener()
        async with broker.open() as replica:
            bus.subscribe(ONE, here, 10)
            replica.subscribe(ONE, there, 10)

            for number in range(0, 100, 10):
                await bus.publish(TOPIC, [a_message(str(number + i)) for i in range(10)])

            await eventually(lambda: len(here.deliveries) + len(there.deliveries) >= 100)
            assert sorted(here.bodies + there.bodies) == sorted(str(number) for number in range(100))

    async def test_nacked_message_is_redelivered_after_the_retry_delay_and_counted(
        self, broker: BrokerUnderTest, bus: Bus
    ) -> None:
        # Pub/Sub counts only with a dead-letter policy.
        await broker.provision(DEAD)
        await broker.provision(
            TOPIC, ONE, dead_letter_topic=DEAD, min_retry_seconds=0.5, max_retry_seconds=0.5
        )
        listener = Listener(nack)
        bus.subscribe(ONE, listener, 10)

        await bus.publish(TOPIC, [a_message()])
        await listener.has(2)
        listener.settle = ack
        await listener.has(3)

        assert listener.attempts == [1, 2, 3]
        # The Pub/Sub emulator ignores the policy for the second delivery, and makes it at once.
        assert listener.times[2] - listener.times[1] >= 0.45
        assert broker.ignores_first_retry_delay or listener.times[1] - listener.times[0] >= 0.45
        assert await listener.stays_silent(1)

    async def test_nacked_message_does_not_block_others(self, broker: BrokerUnderTest, bus: Bus) -> None:
        await broker.provision(TOPIC, ONE, min_retry_seconds=5, max_retry_seconds=5)
        listener = Listener(
            lambda delivery: nack(delivery) if delivery.message.data == b"bad" else ack(delivery)
        )
        bus.subscribe(ONE, listener, 1)
        await bus.publish(TOPIC, [a_message("bad")])
        await listener.has(1)

        await bus.publish(TOPIC, [a_message("good")])

        await eventually(lambda: "good" in listener.bodies, seconds=3)

    async def test_message_nacked_too_often_is_dead_lettered(self, broker: BrokerUnderTest, bus: Bus) -> None:
        """Known mistakes: a poison message redelivered for ever; dead letters without a subscription."""
        await broker.provision(DEAD, DEAD)
        pause = {"min_retry_seconds": 0.1, "max_retry_seconds": 0.1}
        await broker.provision(TOPIC, ONE, dead_letter_topic=DEAD, max_delivery_attempts=5, **pause)
        listener, dead_letters = Listener(nack), Listener()
        bus.subscribe(ONE, listener, 10)
        bus.subscribe(DEAD, dead_letters, 10)

        await bus.publish(TOPIC, [a_message(eventid="e1")])

        assert await dead_letters.has(1, seconds=20) == ["hello"]
        assert listener.attempts == [1, 2, 3, 4, 5]
        attributes = dead_letters.deliveries[0].message.attributes
        assert attributes["eventid"] == "e1"
        assert attributes["CloudPubSubDeadLetterSourceSubscription"].endswith(ONE)
        assert int(attributes["CloudPubSubDeadLetterSourceDeliveryCount"]) == 5
        assert await listener.stays_silent(1.5)

    async def test_publishing_to_an_unknown_topic_is_unavailable(self, bus: Bus) -> None:
        with pytest.raises(Unavailable):
            await bus.publish("unknown", [a_message()])

    async def test_pulling_an_unknown_subscription_ends_at_once(self, bus: Bus) -> None:
        pull = bus.subscribe("unknown", Listener(), 10)

        with pytest.raises(Unavailable):
            await asyncio.wait_for(pull.ended(), 10)

    async def test_subscription_of_an_unknown_topic_is_not_created(self, broker: BrokerUnderTest) -> None:
        await broker.provision(TOPIC)
        async with broker.provisioner() as provisioner:
            with pytest.raises(Unavailable):
                await provisioner.ensure_subscription(SubscriptionSpec(ONE, "unknown", None))
            with pytest.raises(Unavailable):
                await provisioner.ensure_subscription(SubscriptionSpec(ONE, TOPIC, "unknown"))

    async def test_unsettled_deliveries_are_limited(self, broker: BrokerUnderTest, bus: Bus) -> None:
        await broker.provision(TOPIC, ONE)
        listener = Listener(keep)
        bus.subscribe(ONE, listener, 3)
        await bus.publish(TOPIC, [a_message(str(number)) for number in range(8)])

        await listener.has(3)
        assert await listener.stays_silent(0.5)
        assert len(listener.deliveries) == 3
        for delivery in listener.deliveries[:2]:
            delivery.ack()
        await listener.has(5)
        assert await listener.stays_silent(0.5)
        assert len(listener.deliveries) == 5

        listener.settle = ack
        for delivery in listener.deliveries[2:5]:
            delivery.ack()
        assert sorted(await listener.has(8)) == [str(number) for number in range(8)]

    async def test_provisioning_is_idempotent_and_updates_settings(
        self, broker: BrokerUnderTest, bus: Bus
    ) -> None:
        await broker.provision(TOPIC, ONE, min_retry_seconds=60, max_retry_seconds=60)
        await bus.publish(TOPIC, [a_message()])

        await broker.provision(TOPIC, ONE, min_retry_seconds=0.2, max_retry_seconds=0.2)
        await broker.provision(TOPIC, ONE, min_retry_seconds=0.2, max_retry_seconds=0.2)

        listener = Listener(nack)
        bus.subscribe(ONE, listener, 10)
        # The Pub/Sub emulator ignores the policy for the second delivery, and makes it at once.
        assert await listener.has(3, seconds=8) == ["hello"] * 3

    async def test_concurrent_provisioning_succeeds(self, broker: BrokerUnderTest, bus: Bus) -> None:
        await asyncio.gather(*(broker.provision(TOPIC, ONE) for _ in range(4)))
        listener = Listener()
        bus.subscribe(ONE, listener, 10)

        await bus.publish(TOPIC, [a_message()])

        assert await listener.has(1) == ["hello"]
        assert await listener.stays_silent(0.3)
