"""The event-driven half of a process: whether it notices that something hangs."""

import asyncio

from sagakit.backends import Backend
from sagakit.messaging import STALL_TIMEOUT_SECONDS, Messaging
from sagakit.service import Kit, Service
from sagakit.settings import ServiceSettings
from sagakit.tables import Key
from tests.support.clock import Clock
from tests.support.counter import an_event, counting
from tests.support.manual_bus import ManualBus
from tests.support.tables import MemoryTables

ENVIRON = {
    "BACKEND": "embedded",
    "EMBEDDED_FILE": "none",
    "EVENT_PUBLISH_TOPIC": "counts",
    "EVENT_SUBSCRIBE_TOPICS": "things",
    "EVENT_DEAD_LETTER_TOPIC": "dead",
    "PORT": "0",
}


async def test_a_relay_that_hangs_is_noticed_and_one_that_is_busy_is_not():
    clock, bus = Clock(), ManualBus()
    kits: list[Kit] = []

    def build(kit: Kit) -> Service:
        kits.append(kit)
        return Service([], [], {})

    settings = ServiceSettings.from_environ(ENVIRON)
    messaging = Messaging("counter", settings, Backend(MemoryTables(), bus), clock.runtime(), build)
    running = asyncio.create_task(messaging.run())
    await clock.advance(10 * STALL_TIMEOUT_SECONDS)
    idle = messaging.stalled()

    bus.open.clear()
    await kits[0].store.transact([Key("Counter", "a")], counting(events=[an_event("e1")]))
    await clock.advance(STALL_TIMEOUT_SECONDS - 5)
    busy = messaging.stalled()
    await clock.advance(10)
    hung = messaging.stalled()
    bus.open.set()
    await clock.advance(5)

    assert (idle, busy) == (None, None)
    assert hung == "outbox: no progress for 65 s"
    assert messaging.stalled() is None
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
