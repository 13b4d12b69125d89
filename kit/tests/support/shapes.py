"""Services that lack one part or another, each run as a process: `python -m tests.support.shapes NAME`."""

import asyncio
import sys

from sagakit.consumer import Outcome
from sagakit.events import Event
from sagakit.run import main
from sagakit.service import Kit, Service
from sagakit.store import Changes, Snapshot
from sagakit.tables import Entity, Key
from sagakit.topology import ServiceDeclaration, Topology

TOPOLOGY = Topology(
    services=(
        ServiceDeclaration("clock", topic="test.clock"),
        ServiceDeclaration("tally", subscribes_to=("clock",)),
        ServiceDeclaration("hermit"),
    )
)
TICKED = "clock.Ticked"
TICK, TALLY, HERMIT = Key("Tick", "last"), Key("Tally", "ticks"), Key("Hermit", "day")
TICK_SECONDS = 0.05


def incremented(found: Snapshot, key: Key) -> Entity:
    return {"n": (found.get(key) or {"n": 0})["n"] + 1}


def clock(kit: Kit) -> Service:
    """Publishes an event at an interval, and receives none."""

    async def tick() -> None:
        while True:
            ticked = Event(kit.runtime.new_id(), TICKED, b"")
            await kit.store.transact(
                [TICK], lambda found, each=ticked: Changes(None, {TICK: incremented(found, TICK)}, [each])
            )
            await kit.runtime.sleep(TICK_SECONDS)

    return Service(publishes=[TICKED], tasks={"tick": tick})


def tally(kit: Kit) -> Service:
    """Counts the events of another service, and publishes none."""

    async def ticked(event: Event) -> Outcome:
        once = kit.inbox.once(
            event.eventid,
            lambda found: Changes(Outcome.APPLIED, {TALLY: incremented(found, TALLY)}),
            load=lambda _: Outcome.DUPLICATE,
        )
        return (await kit.store.transact([TALLY], once)).result

    return Service(handlers={TICKED: ticked})


def hermit(kit: Kit) -> Service:
    """Neither publishes nor receives, and serves no gRPC."""

    async def work() -> None:
        await kit.store.transact([HERMIT], lambda found: Changes(None, {HERMIT: incremented(found, HERMIT)}))
        await asyncio.Event().wait()

    return Service(tasks={"work": work})


SHAPES = {"clock": clock, "tally": tally, "hermit": hermit}

if __name__ == "__main__":
    main(sys.argv[1], SHAPES[sys.argv[1]])
