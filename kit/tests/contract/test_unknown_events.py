"""A rolling upgrade: what an old replica does not know is applied by the new one that replaces it."""

import asyncio
import uuid

from sagakit.bus import Bus, Message
from sagakit.consumer import Consumer, Handler, Outcome
from sagakit.events import Event
from sagakit.runtime import Runtime
from tests.support.brokers import Broker
from tests.support.eventually import eventually

EVENTIDS = {f"e{number}" for number in range(5)}


async def available() -> None:
    pass


def consumer(bus: Bus, name: str, topic: str, handler: Handler) -> Consumer:
    return Consumer(bus, {name: topic}, {"new": handler}, f"{topic}.dead", available, Runtime())


async def test_event_that_only_the_newer_replica_knows_is_applied_by_it(broker: Broker):
    topic = f"topic-{uuid.uuid4().hex}"
    name = f"one-service.{topic}"
    rejected, applied = set(), set()

    async def old(event: Event) -> Outcome:
        rejected.add(event.eventid)
        return Outcome.UNKNOWN

    async def new(event: Event) -> Outcome:
        applied.add(event.eventid)
        return Outcome.APPLIED

    await broker.provision(topic, name)
    async with broker.open() as bus, broker.open() as other_bus:
        older, newer = consumer(bus, name, topic, old), consumer(other_bus, name, topic, new)
        running = [asyncio.create_task(older.run())]
        await bus.publish(topic, [Message(b"", {"eventid": each, "type": "new"}) for each in EVENTIDS])
        await eventually(lambda: rejected == EVENTIDS, seconds=30)

        running.append(asyncio.create_task(newer.run()))
        older.stop()

        await eventually(lambda: applied == EVENTIDS, seconds=60)
        newer.stop()
        await asyncio.gather(*running)
