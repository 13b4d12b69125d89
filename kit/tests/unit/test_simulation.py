"""Simulations: what fails, what is promised all the same, and what is reported if a promise breaks."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace

import pytest

from sagakit.consumer import Outcome
from sagakit.errors import Poison
from sagakit.events import Event
from sagakit.service import Kit, Service
from sagakit.testing import SimulationFailed, World
from sagakit.testing.loop import Group, VirtualLoop, owner, run
from sagakit.testing.simulation import play
from sagakit.topology import ServiceDeclaration, Topology
from tests.support.mails import MAILS, NOTHING, Mails, mailing


def test_promises_are_kept_under_faults():
    MAILS.check(sagas=150)


def test_wait_for_a_tiny_rest_of_time_ends():
    async def wait() -> float:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(1_000)
        await asyncio.sleep(1e-14)
        return loop.time()

    assert run(wait) > 1_000


def test_same_seed_gives_the_same_run():
    first, second, other = (MAILS.run(seed, 40) for seed in (5, 5, 6))

    assert first == second
    assert first.digest != other.digest
    assert first.kills
    assert first.deliveries > 80


def test_messages_whose_receiver_none_awaits_may_only_be_lost_if_the_broker_loses_messages():
    relied_on = replace(MAILS, unawaited=())

    assert "got no mail" in str(relied_on.finds(sagas=500))
    replace(relied_on, faults=replace(MAILS.faults, dropped=0, emptied=0)).check(sagas=150)


def test_broker_loses_no_message_that_nothing_replaces():
    """In a topology that declares `awaits`, the others rely on at-least-once delivery."""
    shop = Topology(
        (
            ServiceDeclaration("orders", topic="orders", subscribes_to=("stock", "site"), awaits=("stock",)),
            ServiceDeclaration("stock", topic="stock", subscribes_to=("orders",)),
            ServiceDeclaration("mailing", subscribes_to=("orders", "stock")),
        ),
        foreign_topics={"site": "site-events"},
    )

    assert replace(MAILS, topology=shop, unawaited=()).at_least_once() == {
        "orders-service.site-events",
        "mailing-service.orders",
        "mailing-service.stock",
    }


def test_planted_bug_is_found_in_the_smallest_run_with_its_story():
    buggy = replace(MAILS, services={**MAILS.services, "mailing": lambda kit: mailing(kit, uses_inbox=False)})

    failure = buggy.finds()

    assert failure.outcome.sagas <= 3
    lines = str(failure).splitlines()
    assert len(lines) <= 50
    broken = next(line for line in lines if line.startswith("broken: "))
    orderid = broken.split()[1]
    assert broken.endswith("got 2 mails")
    story = lines[lines.index(f"the story of {orderid}:") + 1 : -1]
    # A claimed outbox row is named by its eventid alone.
    own = (orderid, "update OrdersPublishEvent")
    assert all(any(each in line for each in own) or line.endswith(("dies", " s")) for line in story)
    assert sum("commits: " in line and f"Mail {orderid}" in line for line in story) == 2
    assert lines[-1] == f"to repeat: .run(seed={failure.outcome.seed}, sagas={failure.outcome.sagas})"


def test_bug_that_is_not_found_fails_the_test():
    with pytest.raises(AssertionError, match="not found within 20 sagas"):
        MAILS.finds(sagas=20)


def test_broken_promise_fails_with_the_report():
    class Optimists(Mails):
        async def problems(self) -> Iterable[str]:
            return ["order-0 is late"]

    with pytest.raises(SimulationFailed, match="broken: order-0 is late"):
        replace(MAILS, scenario=Optimists, faults=NOTHING).check(sagas=2)


def test_defects_and_dead_letters_are_problems():
    def broken(kit: Kit) -> Service:
        async def placed(event: Event) -> Outcome:
            if json.loads(event.body)["orderid"] == "order-1":
                raise Poison("unreadable")
            raise ZeroDivisionError

        return Service(handlers={"order.Placed": placed})

    outcome = replace(MAILS, services={**MAILS.services, "mailing": broken}, faults=NOTHING).run(1, 2)

    assert "logged: event failed ZeroDivisionError" in outcome.problems
    assert "1 dead letters: unreadable" in outcome.problems


def test_nothing_fails_if_everything_is_switched_off():
    world = World(replace(MAILS, faults=NOTHING), 1, 30, tell=True)

    outcome = play(world)

    assert (outcome.problems, outcome.kills, outcome.deliveries) == ([], 0, 60)
    assert not [line for line in world.story.lines if line.who == "broker"]


def test_rolling_restart_finishes_what_is_in_flight():
    faults = replace(NOTHING, latency_seconds=0.1, drains_per_minute=60)

    outcome = replace(MAILS, faults=faults).run(1, 100)

    assert outcome.problems == []
    assert outcome.drains > 60
    assert outcome.deliveries == 200, "something was delivered again"


def test_drained_process_that_dies_is_restarted_once():
    class Dying(Mails):
        def injections(self):
            return [self._end()]

        async def _end(self) -> None:
            for _ in range(10):
                await asyncio.sleep(2)
                process = self.world.processes[0]
                process.drain()
                await asyncio.sleep(0)
                process.crash()

    faults = replace(NOTHING, latency_seconds=0.1, down_seconds=1)
    outcome = replace(MAILS, scenario=Dying, faults=faults).run(1, 30)

    assert outcome.problems == []
    assert (outcome.kills, outcome.drains) == (10, 0)


def test_events_that_a_handler_rejects_are_dead_letters():
    outcome = replace(MAILS, faults=replace(NOTHING, poisoned=0.1)).run(1, 30)

    assert any(each.endswith("dead letters: simulated-defect") for each in outcome.problems)
    assert any(each.endswith("got no mail") for each in outcome.problems)


def test_broker_gives_up_after_the_attempts_of_a_run():
    faults = replace(NOTHING, ack_lost=0.5, delivery_attempts=1)

    outcome = replace(MAILS, faults=faults).run(1, 30)

    assert any(each.endswith("dead letters: too many attempts") for each in outcome.problems)


def test_entities_expire_faster_than_in_production_and_no_earlier():
    faults = replace(NOTHING, ack_lost=0.3, expiry_speedup=14_400)

    outcome = replace(MAILS, faults=faults, interval_seconds=60).run(1, 60)

    assert outcome.problems == []
    assert outcome.expired["OrdersReceivedEvent"] > 10
    assert outcome.expired["MailingReceivedEvent"] > 10


def test_entity_that_expires_before_its_message_is_redelivered_is_found():
    faults = replace(NOTHING, ack_lost=0.3, expiry_speedup=14_400 * 360)

    outcome = replace(MAILS, faults=faults, interval_seconds=60).run(1, 60)

    assert any("got 2 mails" in each for each in outcome.problems)


async def counted(ticks: list[float]) -> None:
    while True:
        ticks.append(asyncio.get_running_loop().time())
        await asyncio.sleep(1)


def test_frozen_process_makes_no_step_and_continues_later():
    async def main() -> tuple[list[float], list[float]]:
        loop = asyncio.get_running_loop()
        group, theirs, others = Group(), [], []
        token = owner.set(group)
        tasks = [asyncio.create_task(counted(theirs))]
        owner.reset(token)
        tasks.append(asyncio.create_task(counted(others)))
        await asyncio.sleep(2.5)
        group.frozen = True
        await asyncio.sleep(10)
        loop.thaw(group)
        await asyncio.sleep(1.2)
        for task in tasks:
            task.cancel()
        return theirs, others

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        theirs, others = runner.run(main())

    assert theirs == [0, 1, 2, 12.5, 13.5]
    assert others == list(range(14))


def test_message_of_a_frozen_process_goes_to_another_one_and_is_applied_once():
    class Freezing(Mails):
        def injections(self):
            return [self._freeze()]

        async def _freeze(self) -> None:
            while True:
                await asyncio.sleep(0.05)
                for process in self.world.processes[::2]:
                    process.freeze(25)

    world = World(replace(MAILS, scenario=Freezing, faults=replace(NOTHING, latency_seconds=0.1)), 1, 20)

    outcome = play(world)

    assert outcome.problems == []
    assert outcome.deliveries > 40, "no lease ended"
