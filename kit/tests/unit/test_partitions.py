"""Simulated replicas that are lost for good, edges that are clogged, and clocks that drift and jump."""

import asyncio
from dataclasses import replace

import pytest

from sagakit.errors import Unavailable
from sagakit.testing import World
from sagakit.testing.edges import CALL_TIMEOUT_SECONDS, Edge, Edges
from sagakit.testing.loop import run
from sagakit.testing.simulation import play
from sagakit.testing.skewed_clock import SkewedClock
from tests.support.mails import MAILS, NOTHING, Mails

SLOW = replace(NOTHING, latency_seconds=0.1)


def test_clogged_edge_lets_a_call_through_once_it_is_released():
    async def main() -> float:
        edges, loop = Edges(), asyncio.get_running_loop()
        edges.clog(Edge.STORE)
        loop.call_later(3, edges.release, Edge.STORE)
        await edges.passed(Edge.BROKER)
        await edges.passed(Edge.STORE)
        return loop.time()

    assert run(main) == 3


def test_call_over_a_clogged_edge_fails_after_its_deadline():
    async def main() -> float:
        edges = Edges()
        edges.clog(Edge.STORE)
        with pytest.raises(Unavailable, match="store"):
            await edges.passed(Edge.STORE)
        return asyncio.get_running_loop().time()

    assert run(main) == CALL_TIMEOUT_SECONDS


@pytest.mark.parametrize("edge", Edge)
def test_everything_is_applied_once_over_edges_that_are_clogged_and_released(edge: Edge):
    class Clogging(Mails):
        def injections(self):
            return [self._clog()]

        async def _clog(self) -> None:
            while True:
                await asyncio.sleep(3)
                for process in self.world.processes[::2]:
                    process.clog(edge, 25)

    outcome = replace(MAILS, scenario=Clogging, faults=SLOW).run(1, 20)

    assert outcome.problems == []


def test_message_whose_acknowledgement_waits_for_a_clogged_edge_is_redelivered():
    class Clogged(Mails):
        def injections(self):
            return [self._clog()]

        async def _clog(self) -> None:
            while True:
                await asyncio.sleep(0.01)
                for process in self.world.processes[::2]:
                    process.clog(Edge.BROKER, 25)

    outcome = replace(MAILS, scenario=Clogged, faults=SLOW).run(1, 20)

    assert outcome.problems == []
    assert outcome.deliveries > 40, "no lease ended"


def test_one_replica_of_each_service_is_lost_for_good():
    world = World(replace(MAILS, faults=replace(SLOW, loses_replicas=True, kills_per_minute=30)), 1, 200)

    outcome = play(world)

    assert outcome.problems == []
    assert [process.service for process in world.processes if process.is_lost] == ["orders", "mailing"]
    assert not any(process.alive for process in world.processes)


def test_only_replica_of_a_service_is_not_lost():
    world = World(replace(MAILS, faults=replace(SLOW, loses_replicas=True), replicas=1), 1, 150)

    outcome = play(world)

    assert outcome.problems == []
    assert not any(process.is_lost for process in world.processes)


def test_clock_drifts_and_is_set():
    passed = 0.0
    clock = SkewedClock(lambda: passed, 1_000, 5, 0.01)
    assert (clock.now(), clock.monotonic()) == (1_005, 0)

    passed = 100.0
    assert (clock.now(), clock.monotonic()) == (1_106, 101)

    clock.set(-50)
    assert (clock.now(), clock.monotonic()) == (1_051, 101)


def test_clocks_that_drift_and_jump_break_no_promise():
    faults = replace(
        NOTHING, latency_seconds=0.1, skew_seconds=60, clock_drift=0.05, clock_jumps_per_minute=20
    )

    assert replace(MAILS, faults=faults).run(1, 60).problems == []
