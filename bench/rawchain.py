"""The raw chain: what a bare client needs to publish, receive and publish on, with no logic of ours."""

import asyncio
import os
import time
import uuid

from google.cloud import pubsub_v1

WAIT_SECONDS = 30.0


async def raw_chain(rounds: int, hops: int) -> list[float]:
    """Milliseconds from the first publish to the last receipt, one round at a time."""
    return await asyncio.to_thread(_raw_chain, rounds, hops)


def _raw_chain(rounds: int, hops: int) -> list[float]:
    project, run = os.environ["GOOGLE_CLOUD_PROJECT"], uuid.uuid4().hex[:8]
    # No batching: a message alone leaves at once.
    publisher = pubsub_v1.PublisherClient(batch_settings=pubsub_v1.types.BatchSettings(max_latency=0))
    subscriber = pubsub_v1.SubscriberClient()
    topics = [publisher.topic_path(project, f"raw.{run}.{hop}") for hop in range(hops)]
    arrived: list[float] = []

    def pass_on(hop: int) -> "callable[[pubsub_v1.subscriber.message.Message], None]":
        def receive(message: pubsub_v1.subscriber.message.Message) -> None:
            if hop + 1 < hops:
                publisher.publish(topics[hop + 1], message.data)
            else:
                arrived.append(time.perf_counter())
            message.ack()

        return receive

    pulls = []
    for hop, topic in enumerate(topics):
        publisher.create_topic(name=topic)
        name = subscriber.subscription_path(project, f"raw.{run}.{hop}")
        subscriber.create_subscription(name=name, topic=topic)
        pulls.append(subscriber.subscribe(name, pass_on(hop)))
    try:
        return [_one(publisher, topics[0], arrived) for _ in range(rounds)]
    finally:
        for pull in pulls:
            pull.cancel()
            pull.result()


def _one(publisher: pubsub_v1.PublisherClient, topic: str, arrived: list[float]) -> float:
    arrived.clear()
    started = time.perf_counter()
    publisher.publish(topic, b"{}")
    while not arrived:
        if time.perf_counter() - started > WAIT_SECONDS:
            raise TimeoutError("the raw chain broke")
        time.sleep(0.0005)
    return (arrived[0] - started) * 1000
