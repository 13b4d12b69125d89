"""A backfill: bounded, resumable, the same eventids each time, and what is corrupt is reported."""

import asyncio

import pytest

from sagakit.backfill import Backfill, Backfilled, backfill
from sagakit.errors import Poison
from sagakit.events import Event
from sagakit.tables import Entity, Insert, Key
from sagakit.testing.clock import Clock
from sagakit.testing.tables import MemoryTables
from tests.support.manual_bus import ManualBus


def event(name: str, entity: Entity, now: float) -> Event | None:
    if "text" not in entity:
        raise Poison("corrupt-entity: no text")
    return (
        Event("", "thing", f"{name} {entity['text']}".encode(), {"time": str(now)})
        if name != "open"
        else None
    )


SOURCES = {"b-topic": Backfill("Other", event), "a-topic": Backfill("Thing", event)}


class Past:
    """Records of two services, and a broker."""

    def __init__(self) -> None:
        self.tables, self.bus, self.clock = MemoryTables(), ManualBus(), Clock()

    async def store(self, kind: str, *names: str, **properties: str) -> None:
        await self.tables.commit([Insert(Key(kind, name), properties or {"text": "x"}) for name in names])

    async def run(self, after: str = "", *, dry_run: bool = False, limit: int = 1_000) -> list[Backfilled]:
        runtime = self.clock.runtime()
        found: list[Backfilled] = []
        results = backfill(
            *(self.tables, self.bus, SOURCES, runtime),
            after=after,
            events_per_second=10_000,
            dry_run=dry_run,
        )
        async with asyncio.timeout(10):
            while len(found) < limit:
                following = asyncio.ensure_future(anext(results, None))
                while not following.done():
                    await self.clock.advance(1)
                if (result := following.result()) is None:
                    break
                found.append(result)
        await results.aclose()
        return found

    @property
    def published(self) -> list[tuple[str, str]]:
        return [(topic, each.data.decode()) for topic, batch in self.bus.published for each in batch]

    @property
    def eventids(self) -> list[str]:
        return [each.attributes["eventid"] for _, batch in self.bus.published for each in batch]


@pytest.fixture
async def past() -> Past:
    past = Past()
    await past.store("Thing", "a", "b", "open")
    await past.store("Other", "c")
    return past


async def test_last_event_of_each_record_is_published_to_its_topic_as_a_reminder(past: Past):
    found = await past.run()

    assert past.published == [("a-topic", "a x"), ("a-topic", "b x"), ("b-topic", "c x")]
    assert {each.attributes["again"] for _, batch in past.bus.published for each in batch} == {"true"}
    assert [each.cursor for each in found] == ["a-topic/a", "a-topic/b", "a-topic/open", "b-topic/c"]


async def test_dry_run_publishes_nothing(past: Past):
    found = await past.run(dry_run=True)

    assert past.published == []
    assert sum(each.event is not None for each in found) == 3


@pytest.mark.parametrize("done", [0, 1, 2, 3, 4])
async def test_run_that_ended_early_continues_after_its_cursor(past: Past, done: int):
    first = await past.run(limit=done)

    await past.run(first[-1].cursor if first else "")

    assert past.published == [("a-topic", "a x"), ("a-topic", "b x"), ("b-topic", "c x")]


async def test_event_has_the_same_id_in_every_run_until_its_record_changes(past: Past):
    await past.run()
    await past.run()
    assert past.eventids[:3] == past.eventids[3:]
    assert len(set(past.eventids)) == 3

    await past.store("Thing", "z", text="y")
    await past.run()
    assert len(set(past.eventids)) == 4


async def test_corrupt_record_is_reported_and_the_others_are_published(past: Past):
    await past.store("Thing", "aa", other="x")

    found = await past.run()

    assert [each.problem for each in found if each.problem] == ["Thing aa: corrupt-entity: no text"]
    assert len(past.published) == 3


async def test_rate_is_bounded():
    past = Past()
    await past.store("Thing", *(f"{number}" for number in range(20)))
    results = backfill(past.tables, past.bus, SOURCES, past.clock.runtime(), events_per_second=2)

    async def all_of_them() -> int:
        return len([each async for each in results])

    running = asyncio.ensure_future(all_of_them())
    await past.clock.advance(4.9)
    assert len(past.published) == 10
    await past.clock.advance(5.1)
    assert await running == 20
