"""The messaging of a process as a whole: hangs are noticed, and steps of the wall clock change nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest

from sagakit.backends import Backend
from sagakit.bus import Delivery
from sagakit.consumer import Outcome
from sagakit.errors import Poison, Unavailable
from sagakit.messaging import STALL_TIMEOUT_SECONDS, Messaging
from sagakit.outbox import Outbox
from sagakit.reminders import RemindFn, due_property
from sagakit.service import Kit, Service
from sagakit.settings import ServiceSettings
from sagakit.store import Changes
from sagakit.tables import Entity, Insert, Key
from sagakit.testing.clock import Clock
from sagakit.testing.loop import run
from sagakit.testing.tables import MemoryTables
from tests.support.counter import COUNTER, ENVIRON, OUTBOX, an_event, counting, once
from tests.support.harness import WAITING, a_message, background, remind
from tests.support.manual_bus import ManualBus, ManualPull


@dataclass
class CounterService:
    """A service that counts the events it receives and publishes each count."""

    clock: Clock = field(default_factory=Clock)
    bus: ManualBus = field(default_factory=ManualBus)
    tables: MemoryTables = field(default_factory=MemoryTables)
    remind: RemindFn = remind
    health_checks: Sequence[Callable[[], Awaitable[None]]] = ()

    def __post_init__(self) -> None:
        settings = ServiceSettings.from_environ(ENVIRON)
        backend, runtime = Backend(self.tables, self.bus), self.clock.runtime()
        self.messaging = Messaging("counter", settings, backend, runtime, self._build)

    def _build(self, kit: Kit) -> Service:
        async def count(event) -> Outcome:
            published = [an_event(f"counted {event.eventid}")]
            changes = await kit.store.transact([COUNTER], once(event.eventid, counting(events=published)))
            return Outcome.DUPLICATE if changes.unchanged else Outcome.APPLIED

        self.kit = kit
        return Service(
            [], [], {"thing": count}, reminders={WAITING: self.remind}, health_checks=self.health_checks
        )

    async def leave_behind(self, name: str) -> None:
        """Store what a crashed process leaves: an unpublished event, and an entity that is due a reminder."""
        waiting = {"reminders": 0, **due_property(name, self.clock.now())}
        outbox = Outbox(OUTBOX, self.kit.runtime)
        await self.tables.commit([*outbox.inserts([an_event(name)]), Insert(Key(WAITING, name), waiting)])


async def test_hanging_relay_is_reported_as_stalled_and_a_busy_one_is_not():
    service = CounterService()
    async with background(service.messaging.run()):
        await service.clock.advance(10 * STALL_TIMEOUT_SECONDS)
        idle = service.messaging.stalled()

        service.bus.open.clear()
        await service.kit.store.transact([Key("Counter", "a")], counting(events=[an_event("e1")]))
        await service.clock.advance(STALL_TIMEOUT_SECONDS - 5)
        busy = service.messaging.stalled()
        await service.clock.advance(10)
        hung = service.messaging.stalled()
        service.bus.open.set()
        await service.clock.advance(5)

        assert (idle, busy) == (None, None)
        assert hung == "outbox: no progress for 65 s"
        assert service.messaging.stalled() is None


@pytest.mark.parametrize("step", [3600, -3600])
async def test_steps_of_the_wall_clock_stall_nothing(step: float):
    """Events, relay, sweeper and reminders continue, after a step and after the step back."""
    service = CounterService()
    async with background(service.messaging.run()):
        for number, seconds in enumerate((0, step, -step), 1):
            pull = service.bus.pulls["counter-service.things"][-1]
            service.bus.open.clear()
            delivery = pull.deliver(a_message(eventid=f"e{number}"))
            await service.clock.advance(1)
            # With an event in flight, which is counted and not yet published.
            service.clock.step(seconds)
            stalled = service.messaging.stalled()
            service.bus.open.set()
            await service.leave_behind(f"left {number}")
            await service.clock.advance(60)

            assert (stalled, service.messaging.stalled()) == (None, None)
            assert delivery.settled == ["ack"]
            assert {f"counted e{number}", f"left {number}"} <= set(service.bus.eventids)
            assert service.tables.rows[Key(WAITING, f"left {number}")].entity["reminders"] > 0
            assert not pull.closed


class MissingSubscriptionBus(ManualBus):
    def subscribe(self, name: str, receive: Callable[[Delivery], None], max_outstanding: int) -> ManualPull:
        raise Unavailable(f"NOT_FOUND: {name}")


async def test_deadlines_are_kept_and_reminders_pause_while_a_subscription_is_missing():
    def remind_or_cancel(name: str, entity: Entity, now: float, eventid: str) -> Changes[str | None]:
        if name == "waiting":
            return remind(name, entity, now, eventid)
        return Changes(None, {Key(WAITING, name): {"reminders": 0}}, [an_event(f"canceled {name}")])

    service = CounterService(bus=MissingSubscriptionBus(), remind=remind_or_cancel)
    async with background(service.messaging.run()):
        await service.leave_behind("waiting")
        await service.leave_behind("late")
        await service.clock.advance(60)

    assert "canceled late" in service.bus.eventids
    assert service.tables.rows[Key(WAITING, "waiting")].entity["reminders"] == 0


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("of a library"),
        TimeoutError(),
        Poison("corrupt-entity: Settings"),
        asyncio.CancelledError(),
        Unavailable("gone"),
    ],
    ids=repr,
)
async def test_health_check_that_fails_in_any_way_pauses_pulling_until_it_returns(error: BaseException):
    """Raised, it would end the process, and again after each restart; or silently the subscription."""
    failures = [error] * 3

    async def check() -> None:
        if failures:
            raise failures.pop()

    service = CounterService(health_checks=[check])
    async with background(service.messaging.run()) as running:
        pulls = service.bus.pulls.get("counter-service.things", [])
        await service.clock.advance(60)

        assert pulls == []
        assert (failures, running.done()) == ([], False)
        assert len(service.bus.pulls["counter-service.things"]) == 1


def test_health_check_that_never_returns_has_failed():
    async def check() -> None:
        await asyncio.Event().wait()

    async def main() -> float:
        service = CounterService(health_checks=[check])
        with pytest.raises(Unavailable):
            await service.messaging._check_backends()
        return asyncio.get_running_loop().time()

    assert run(main) == pytest.approx(10)
