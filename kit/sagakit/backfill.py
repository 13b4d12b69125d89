"""Backfill: events of the past, published again from their publishers' records for a service that is new."""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from uuid import NAMESPACE_URL, uuid5

from sagakit.bus import Bus
from sagakit.errors import Poison
from sagakit.events import REMINDER_ATTRIBUTE, Event
from sagakit.runtime import Runtime
from sagakit.tables import Entity, Tables

PAGE = 100
EVENTS_PER_SECOND = 20.0


@dataclass(frozen=True, slots=True)
class Backfill:
    """The records from which a service's events of the past are made, defined in a module.

    A service names it in its declaration (`ServiceDeclaration.backfill`).
    """

    kind: str
    """Of its entities that stand for what it published."""
    event: Callable[[str, Entity, float], Event | None]
    """Returns the last event of the entity with that name, published at that time; None: it has none.

    None as well while more is to come: that event will reach the new service anyway. Its eventid is not
    used. Raises Poison if the entity is corrupt."""


@dataclass(frozen=True, slots=True)
class Backfilled:
    """The result for one entity."""

    cursor: str
    """Continue after this one."""
    event: Event | None = None
    """The event that was published, or would be."""
    problem: str = ""
    """Why nothing was; "" if nothing is wrong."""


async def backfill(
    tables: Tables,
    bus: Bus,
    sources: Mapping[str, Backfill],
    runtime: Runtime,
    *,
    after: str = "",
    events_per_second: float = EVENTS_PER_SECOND,
    dry_run: bool = False,
) -> AsyncIterator[Backfilled]:
    """Publish the last event of each entity again, marked as a reminder; yield each result.

    `sources`: by the topic. Every subscriber of the topic receives them: those that applied the event before
    treat it as any reminder. An event has the same eventid each time: inboxes ignore it when a backfill is
    run again. `after`: the cursor of the last result of one that ended early, with the same sources.
    Raises Unavailable if a backend cannot be reached.
    """
    started, _, name = after.partition("/")
    for topic in sorted(each for each in sources if each >= started):
        source, last = sources[topic], name if topic == started else ""
        while page := await tables.page(source.kind, last, PAGE):
            for key, row in page:
                last, found = key.name, Backfilled(f"{topic}/{key.name}")
                try:
                    event = source.event(key.name, row.entity, runtime.now())
                except Poison as error:
                    yield replace(found, problem=f"{key.kind} {key.name}: {error.reason}")
                    continue
                if event is None:
                    yield found
                    continue
                event = _repeated(event, topic)
                if not dry_run:
                    await bus.publish(topic, [event.to_message()])
                yield replace(found, event=event)
                if not dry_run:
                    await runtime.sleep(1 / events_per_second)


def _repeated(event: Event, topic: str) -> Event:
    digest = hashlib.sha256(event.body).hexdigest()
    eventid = str(uuid5(NAMESPACE_URL, f"backfill {topic} {event.type} {digest}"))
    return replace(event, eventid=eventid, attributes={**event.attributes, REMINDER_ATTRIBUTE: "true"})
