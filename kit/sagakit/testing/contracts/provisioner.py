"""The promises of `Provisioner`: what is there becomes what it should be, and the changes are returned."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from sagakit.bus import Bus, Message, SubscriptionSpec
from sagakit.errors import Unavailable
from sagakit.ignored import Ignored
from sagakit.testing.contracts.brokers import BrokerUnderTest, Listener, a_message
from sagakit.testing.eventually import eventually

TOPIC, OTHER_TOPIC, DEAD = "things", "others", "dead-letter"
ONE = "one-service.things"
SPEC = SubscriptionSpec(ONE, TOPIC, DEAD, 5, 0.2, 1.0, 10)
IGNORING = replace(SPEC, ignored=Ignored("parcel.Moved", "status", frozenset({"sorted", "weighed"})))
OURS = SubscriptionSpec("ephemeral-1.things", TOPIC, None, expires_after_seconds=24 * 3600)


async def provision(broker: BrokerUnderTest, spec: SubscriptionSpec = SPEC) -> str:
    """Create the topics and the subscription; return what was changed."""
    async with broker.provisioner() as provisioner:
        for topic in (TOPIC, OTHER_TOPIC, DEAD):
            await provisioner.ensure_topic(topic)
        return await provisioner.ensure_subscription(spec)


class ProvisionerContract:
    """Subclass it, with a fixture `broker` that returns a `BrokerUnderTest`."""

    pytestmark = pytest.mark.asyncio

    @pytest_asyncio.fixture
    async def bus(self, broker: BrokerUnderTest) -> AsyncIterator[Bus]:
        """The connection of one process."""
        async with broker.open() as bus:
            yield bus

    async def test_nothing_is_changed_the_second_time(self, broker: BrokerUnderTest) -> None:
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
        self, broker: BrokerUnderTest, bus: Bus, settings: Mapping[str, Any]
    ) -> None:
        await provision(broker)
        await bus.publish(TOPIC, [a_message()])

        assert (await provision(broker, replace(SPEC, **settings))).startswith("updated ")
        assert await provision(broker, replace(SPEC, **settings)) == ""

        listener = Listener()
        bus.subscribe(ONE, listener, 10)
        assert await listener.has(1) == ["hello"]

    async def test_messages_are_kept_where_some_need_not_be_delivered_any_more(
        self, broker: BrokerUnderTest, bus: Bus
    ) -> None:
        await provision(broker)
        await bus.publish(TOPIC, [a_message("before")])

        assert await provision(broker, IGNORING) == ""

        listener = Listener()
        bus.subscribe(ONE, listener, 10)
        assert await listener.has(1) == ["before"]

    async def test_message_that_is_not_ignored_is_delivered(self, broker: BrokerUnderTest, bus: Bus) -> None:
        assert await provision(broker, IGNORING) == ""
        assert await provision(broker, IGNORING) == ""

        listener = Listener()
        bus.subscribe(ONE, listener, 10)
        await bus.publish(TOPIC, [a_message("no attribute"), Message(b"other", {"status": "sent"})])
        assert sorted(await listener.has(2)) == ["no attribute", "other"]

    async def test_subscription_of_another_topic_is_moved(self, broker: BrokerUnderTest, bus: Bus) -> None:
        await provision(broker, replace(SPEC, topic=OTHER_TOPIC))

        assert await provision(broker)

        listener = Listener()
        bus.subscribe(ONE, listener, 10)
        await bus.publish(TOPIC, [a_message("ours")])
        await bus.publish(OTHER_TOPIC, [a_message("no more")])
        assert await listener.has(1) == ["ours"]
        assert await listener.stays_silent(0.5)

    async def test_problem_of_a_subscription_is_known(self, broker: BrokerUnderTest, bus: Bus) -> None:
        assert "does not exist" in str(await bus.subscription_problem(ONE))

        await provision(broker)
        assert await bus.subscription_problem(ONE) is None

        await broker.delete_topic(TOPIC)
        assert "was deleted" in str(await bus.subscription_problem(ONE))

    async def test_topic_that_was_deleted_is_made_again_and_its_subscription_gets_messages(
        self, broker: BrokerUnderTest, bus: Bus
    ) -> None:
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

    async def test_dead_letter_topic_that_was_deleted_is_attached_again(
        self, broker: BrokerUnderTest, bus: Bus
    ) -> None:
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

    async def test_ensuring_a_subscription_again_loses_no_message(
        self, broker: BrokerUnderTest, bus: Bus
    ) -> None:
        await broker.provision(TOPIC)
        async with broker.provisioner() as provisioner:
            await provisioner.ensure_subscription(OURS)
            await bus.publish(TOPIC, [a_message("1")])
            await provisioner.ensure_subscription(OURS)
        listener = Listener()

        bus.subscribe(OURS.name, listener, 10)

        assert await listener.has(1) == ["1"]

    async def test_pull_of_a_removed_subscription_ends(self, broker: BrokerUnderTest, bus: Bus) -> None:
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

    async def test_only_expired_subscriptions_are_swept(self, broker: BrokerUnderTest, bus: Bus) -> None:
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
