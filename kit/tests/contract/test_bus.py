"""What `Bus` promises, over every implementation: at least once, in any order, to every subscription."""

import asyncio

import pytest

from sagakit.backends.gcp.pubsub import open_pubsub
from sagakit.bus import Bus, Message, SubscriptionSpec
from sagakit.errors import Poison, Unavailable
from tests.support.brokers import Broker, Listener, a_message, ack, keep, nack
from tests.support.eventually import eventually

TOPIC = "things"
ONE = "one-service.things"
TWO = "two-service.things"
DEAD = "dead-letter"


async def test_every_subscription_of_a_topic_gets_every_message(broker: Broker, bus: Bus):
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


async def test_bytes_and_attributes_arrive_as_they_were_sent(broker: Broker, bus: Bus):
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


async def test_what_was_published_while_nobody_pulled_is_kept(broker: Broker, bus: Bus):
    await broker.provision(TOPIC, ONE)
    await bus.publish(TOPIC, [a_message()])

    listener = Listener()
    bus.subscribe(ONE, listener, 10)

    assert await listener.has(1) == ["hello"]


async def test_what_was_published_before_a_subscription_was_made_is_not_for_it(broker: Broker, bus: Bus):
    await broker.provision(TOPIC, ONE)
    await bus.publish(TOPIC, [a_message("before")])
    await broker.provision(TOPIC, TWO)
    await bus.publish(TOPIC, [a_message("after")])

    listener = Listener()
    bus.subscribe(TWO, listener, 10)

    assert await listener.has(1) == ["after"]


async def test_replicas_share_a_subscription_and_handle_each_message_once(broker: Broker, bus: Bus):
    await broker.provision(TOPIC, ONE)
    here, there = Listener(), Listener()
    async with broker.open() as replica:
        bus.subscribe(ONE, here, 10)
        replica.subscribe(ONE, there, 10)

        for number in range(0, 100, 10):
            await bus.publish(TOPIC, [a_message(str(number + i)) for i in range(10)])

        await eventually(lambda: len(here.deliveries) + len(there.deliveries) >= 100)
        assert sorted(here.bodies + there.bodies) == sorted(str(number) for number in range(100))


async def test_a_message_given_back_comes_again_after_a_pause_and_counts_attempts(broker: Broker, bus: Bus):
    # It takes a dead-letter policy for Pub/Sub to count.
    await broker.provision(DEAD)
    await broker.provision(TOPIC, ONE, dead_letter_topic=DEAD, min_retry_seconds=0.5, max_retry_seconds=0.5)
    listener = Listener(nack)
    bus.subscribe(ONE, listener, 10)

    await bus.publish(TOPIC, [a_message()])
    await listener.has(2)
    listener.settle = ack
    await listener.has(3)

    assert listener.attempts == [1, 2, 3]
    # The second delivery the Pub/Sub emulator makes at once, whatever the policy.
    assert listener.times[2] - listener.times[1] >= 0.45
    assert broker.name != "embedded" or listener.times[1] - listener.times[0] >= 0.45
    assert await listener.stays_silent(1)


async def test_a_message_given_back_does_not_hold_up_the_others(broker: Broker, bus: Bus):
    await broker.provision(TOPIC, ONE, min_retry_seconds=5, max_retry_seconds=5)
    listener = Listener(lambda delivery: nack(delivery) if delivery.message.data == b"bad" else ack(delivery))
    bus.subscribe(ONE, listener, 1)
    await bus.publish(TOPIC, [a_message("bad")])
    await listener.has(1)

    await bus.publish(TOPIC, [a_message("good")])

    await eventually(lambda: "good" in listener.bodies, seconds=3)


async def test_a_message_that_is_given_back_too_often_goes_to_the_dead_letters(broker: Broker, bus: Bus):
    """The traps: a poison message redelivered for ever; a dead-letter topic without a subscription."""
    await broker.provision(DEAD, DEAD)
    pause = {"min_retry_seconds": 0.1, "max_retry_seconds": 0.1}
    await broker.provision(TOPIC, ONE, dead_letter_topic=DEAD, max_delivery_attempts=5, **pause)
    listener, letters = Listener(nack), Listener()
    bus.subscribe(ONE, listener, 10)
    bus.subscribe(DEAD, letters, 10)

    await bus.publish(TOPIC, [a_message(eventid="e1")])

    assert await letters.has(1, seconds=20) == ["hello"]
    assert listener.attempts == [1, 2, 3, 4, 5]
    attributes = letters.deliveries[0].message.attributes
    assert attributes["eventid"] == "e1"
    assert attributes["CloudPubSubDeadLetterSourceSubscription"].endswith(ONE)
    assert int(attributes["CloudPubSubDeadLetterSourceDeliveryCount"]) == 5
    assert await listener.stays_silent(1.5)


async def test_publishing_to_an_unknown_topic_is_unavailable(bus: Bus):
    with pytest.raises(Unavailable):
        await bus.publish("unheard-of", [a_message()])


async def test_pulling_an_unknown_subscription_ends_at_once(bus: Bus):
    pull = bus.subscribe("unheard-of", Listener(), 10)

    with pytest.raises(Unavailable):
        await asyncio.wait_for(pull.ended(), 10)


async def test_a_subscription_is_not_made_where_its_topics_are_unknown(broker: Broker):
    await broker.provision(TOPIC)
    async with broker.provisioner() as provisioner:
        with pytest.raises(Unavailable):
            await provisioner.ensure_subscription(SubscriptionSpec(ONE, "unheard-of", None))
        with pytest.raises(Unavailable):
            await provisioner.ensure_subscription(SubscriptionSpec(ONE, TOPIC, "unheard-of"))


async def test_no_more_is_in_hand_than_was_asked_for(broker: Broker, bus: Bus):
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


async def test_provisioning_is_safe_to_repeat_and_brings_settings_up_to_date(broker: Broker, bus: Bus):
    await broker.provision(TOPIC, ONE, min_retry_seconds=60, max_retry_seconds=60)
    await bus.publish(TOPIC, [a_message()])

    await broker.provision(TOPIC, ONE, min_retry_seconds=0.2, max_retry_seconds=0.2)
    await broker.provision(TOPIC, ONE, min_retry_seconds=0.2, max_retry_seconds=0.2)

    listener = Listener(nack)
    bus.subscribe(ONE, listener, 10)
    # The second delivery the Pub/Sub emulator makes at once, whatever the policy.
    assert await listener.has(3, seconds=8) == ["hello"] * 3


async def test_provisioners_do_not_get_into_each_others_way(broker: Broker, bus: Bus):
    await asyncio.gather(*(broker.provision(TOPIC, ONE) for _ in range(4)))
    listener = Listener()
    bus.subscribe(ONE, listener, 10)

    await bus.publish(TOPIC, [a_message()])

    assert await listener.has(1) == ["hello"]
    assert await listener.stays_silent(0.3)


async def test_pubsub_that_is_away_says_so():
    async with open_pubsub("project", "127.0.0.1:1") as bus:
        with pytest.raises(Unavailable):
            await bus.publish(TOPIC, [a_message()])


@pytest.mark.emulators
async def test_what_pubsub_never_takes_is_poison(pubsub_emulator: str, project: str):
    async with open_pubsub(project, pubsub_emulator) as bus:
        await Broker("pubsub", None, project, pubsub_emulator).provision(TOPIC)
        with pytest.raises(Poison):
            await bus.publish(TOPIC, [Message(b"", {})])
