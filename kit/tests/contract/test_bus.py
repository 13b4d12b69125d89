"""Every implementation of `Bus` keeps its promises."""

import pytest

from sagakit.backends.gcp.pubsub import open_pubsub
from sagakit.bus import Message
from sagakit.errors import Poison, Unavailable
from sagakit.testing.contracts import BusContract
from sagakit.testing.contracts.brokers import a_message
from tests.support.brokers import Broker

TOPIC = "things"


ONE = "one-service.things"


TWO = "two-service.things"


DEAD = "dead-letter"


async def test_unreachable_pubsub_is_unavailable():
    async with open_pubsub("project", "127.0.0.1:1") as bus:
        with pytest.raises(Unavailable):
            await bus.publish(TOPIC, [a_message()])


@pytest.mark.emulators
async def test_message_that_pubsub_rejects_is_poison(pubsub_emulator: str, project: str):
    async with open_pubsub(project, pubsub_emulator) as bus:
        await Broker("pubsub", None, project, pubsub_emulator).provision(TOPIC)
        with pytest.raises(Poison):
            await bus.publish(TOPIC, [Message(b"", {})])


class TestBus(BusContract):
    pass
