"""Campaigns of simulations: what their runs must reach together, in worlds that their seeds draw."""

from collections import Counter
from dataclasses import replace

import pytest

from sagakit.testing import FaultRates, SimulationFailed, World
from sagakit.testing.simulation import play
from sagakit.testing.swarm import EXTREME, draw_world
from tests.support.mails import MAILS, NOTHING, Mails, mailing


class Counting(Mails):
    """Counts customers who sent two requests at once."""

    async def client(self, number: int) -> None:
        self.world.reached["a client ordered"] += 1
        await super().client(number)


def test_campaign_that_reaches_everything_succeeds():
    names = [
        "a client ordered",
        "fault duplicated",
        "mailing: event duplicate",
        "conflict on OrdersReceivedEvent",
    ]

    replace(MAILS, scenario=Counting, must_reach=names).check(sagas=100)


def test_campaign_that_never_reaches_a_name_fails_and_names_it():
    unreachable = replace(MAILS, scenario=Counting, must_reach=["a client ordered", "a client paid"])

    with pytest.raises(SimulationFailed) as failed:
        unreachable.check(sagas=20)

    assert str(failed.value) == "never reached within 20 sagas:\n- a client paid"


@pytest.mark.parametrize("name", FaultRates.names())
def test_fault_that_is_off_is_not_counted(name: str):
    assert not replace(MAILS, faults=NOTHING).run(1, 30).reached[name]


EVERYTHING = FaultRates(
    drains_per_minute=6,
    expiry_speedup=43_200,
    skew_seconds=5,
    clock_drift=0.01,
    clock_jumps_per_minute=6,
    clogs_per_minute=6,
    loses_replicas=True,
)


def test_every_fault_is_counted():
    reached: Counter[str] = Counter()
    for seed in range(4):
        world = World(replace(MAILS, faults=EVERYTHING, interval_seconds=6), seed, 100)
        reached.update(play(world).reached)

    # Nothing replaces the messages of MAILS, so that none is dropped, and no handler is to fail.
    assert [name for name in FaultRates.names() if not reached[name]] == ["fault dropped", "fault poisoned"]


SWARM = replace(MAILS, draw=draw_world)


def test_each_seed_draws_its_own_world():
    worlds = [SWARM.in_world(seed) for seed in range(40)]

    assert worlds[3] == SWARM.in_world(3)
    assert {each.processes()["orders"] for each in worlds} == {1, 2, 3, 4}
    for name in EXTREME:
        assert len({getattr(each.faults, name) for each in worlds}) == 3, f"{name} is off, usual or extreme"


def test_run_in_a_drawn_world_is_repeated_exactly():
    assert SWARM.run(5, 30) == SWARM.run(5, 30)
    assert SWARM.run(5, 30) == SWARM.run(5, 30, world=5)
    assert SWARM.run(5, 30).digest != SWARM.run(5, 30, world=6).digest


def test_smallest_failing_run_keeps_its_world():
    buggy = replace(SWARM, services={**MAILS.services, "mailing": lambda kit: mailing(kit, uses_inbox=False)})

    failure = buggy.finds()

    seed, sagas = failure.outcome.seed, failure.outcome.sagas
    lines = str(failure).splitlines()
    assert len(lines) <= 50
    assert lines[-1] == f"to repeat: .run(seed={seed}, sagas={sagas}, world={failure.world})"
    assert buggy.run(seed, sagas, world=failure.world) == failure.outcome
    world = buggy.in_world(failure.world)
    assert f"{world.processes()['orders']} orders, {world.processes()['mailing']} mailing" in lines[0]
    assert lines[1] == f"faults: {world.faults}"
